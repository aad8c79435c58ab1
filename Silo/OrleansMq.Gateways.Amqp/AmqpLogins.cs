using System.Net;
using OrleansMq.Access;
using OrleansMq.Diagnostics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp;

/// <summary>Checks passwords for AMQP and its management API. A refused login is counted, logged from time to time, and answered after a
/// delay, so that passwords are guessed slowly. Thread safe.</summary>
/// <param name="denials">Counts refused logins.</param>
/// <param name="time">The clock.</param>
/// <param name="log">The log.</param>
internal sealed class AmqpLogins(AccessDenials denials, TimeProvider time, EngineLog log)
{
    private static readonly TimeSpan FailureDelay = TimeSpan.FromMilliseconds(100);

    private readonly RareLine _failed = new(log, time);

    /// <summary>Checks a login.</summary>
    /// <param name="users">The users.</param>
    /// <param name="name">The user's name.</param>
    /// <param name="password">The password.</param>
    /// <param name="address">The client's address.</param>
    /// <param name="cancellationToken">Ends the delay.</param>
    /// <returns>The user; null: the login is refused.</returns>
    public async ValueTask<UserState?> CheckAsync(UserDirectory users, string name, string password, IPAddress address,
        CancellationToken cancellationToken = default)
    {
        var user = users.FindUser(name);
        if (UserState.MayLogIn(user, password, IPAddress.IsLoopback(address)))
            return user;
        denials.Failed(SessionProtocol.Amqp);
        _failed.Write(EngineLogLevel.Warning, $"An AMQP client at {TextOf(address)} did not log in as '{LoggedText.Of(name)}': the user is "
            + "unknown, its password is wrong, or it may not log in from there.");
        await Task.Delay(FailureDelay, time, cancellationToken).ConfigureAwait(false);
        return null;
    }

    /// <summary>Returns an address as rules name it: a port for both families shows clients of the older one as addresses of the
    /// newer.</summary>
    public static string TextOf(IPAddress address) => (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();
}
