using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace OrleansMq.Grains.Replication;

/// <summary>What a port says to who connects.</summary>
internal enum PortAnswer
{
    /// <summary>Nothing in time, or nothing that says who is there: a cut network, a machine that is off.</summary>
    Unknown = 0,
    /// <summary>Somebody listens.</summary>
    Accepts = 1,
    /// <summary>The machine says that nobody listens.</summary>
    Refuses = 2,
}

/// <summary>Asks a port whether somebody listens.</summary>
internal static class EndpointProbe
{
    /// <summary>Refusals in a row that count: one alone may be a proxy that restarts.</summary>
    public const int Refusals = 4;

    /// <summary>Between two attempts: so four take 150 ms.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Asks; a refusal is asked again until it counts.</summary>
    public static async Task<PortAnswer> AskAsync(IPEndPoint endpoint, CancellationToken cancellationToken)
    {
        for (var refusals = 1; ; refusals++)
        {
            var answer = await AskOnceAsync(endpoint, cancellationToken).ConfigureAwait(false);
            if (answer != PortAnswer.Refuses || refusals == Refusals)
                return answer;
            await Task.Delay(Pause, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Whether an address is one of this machine's, so that no network lies between: what is refused there is refused by this
    /// kernel.</summary>
    public static bool IsLocal(IPAddress address) => IPAddress.IsLoopback(address)
        || NetworkInterface.GetAllNetworkInterfaces().SelectMany(card => card.GetIPProperties().UnicastAddresses)
        .Any(own => own.Address.Equals(address));

    private static async Task<PortAnswer> AskOnceAsync(IPEndPoint endpoint, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(Patience);
        using var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(endpoint, deadline.Token).ConfigureAwait(false);
            return PortAnswer.Accepts;
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return PortAnswer.Refuses;
        }
        catch (SocketException)
        {
            return PortAnswer.Unknown;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return PortAnswer.Unknown;
        }
    }
}
