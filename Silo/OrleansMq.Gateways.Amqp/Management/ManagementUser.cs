using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>The user of a request, and what its tags allow: <c>management</c> its virtual hosts, <c>policymaker</c> their policies, too,
/// <c>monitoring</c> to see all, and <c>administrator</c> everything.</summary>
/// <param name="state">The user.</param>
internal sealed class ManagementUser(UserState state)
{
    /// <summary>The user.</summary>
    public UserState State { get; } = state;

    /// <summary>Whether it manages users and virtual hosts.</summary>
    public bool IsAdministrator => State.Tags.Contains("administrator");

    /// <summary>Whether it sees all virtual hosts.</summary>
    public bool IsMonitoring => IsAdministrator || State.Tags.Contains("monitoring");

    /// <summary>Whether it manages policies of its virtual hosts.</summary>
    public bool IsPolicymaker => IsAdministrator || State.Tags.Contains("policymaker");

    /// <summary>Logs the user of a request in.</summary>
    /// <exception cref="ManagementException">There is none, or it may not use this API.</exception>
    public static async ValueTask<ManagementUser> OfAsync(HttpRequest request, QueueRegistry registry)
    {
        if (Credentials(request.Headers.Authorization.ToString()) is not var (name, password)
            || await registry.Logins.CheckAsync(registry.Hosts.Users, name, password,
                request.HttpContext.Connection.RemoteIpAddress ?? IPAddress.None, request.HttpContext.RequestAborted)
                .ConfigureAwait(false) is not { } user)
            throw ManagementException.NotAuthorized("Login failed");
        var found = new ManagementUser(user);
        return found.IsMonitoring || found.IsPolicymaker || user.Tags.Contains("management") ? found
            : throw ManagementException.NotAuthorized("Not management user");
    }

    /// <summary>Whether it sees a virtual host.</summary>
    public bool Sees(VirtualHostImage host) => IsMonitoring || MayOpen(host);

    /// <summary>Whether it has permissions in a virtual host.</summary>
    public bool MayOpen(VirtualHostImage host) =>
        UserAccess.CheckOpen(host.Name, State, exists: true, host.Settings.Permissions.GetValueOrDefault(State.Name)) is null;

    /// <summary>Refuses users that lack a right.</summary>
    /// <exception cref="ManagementException">It is not allowed.</exception>
    public static void Demand(bool isAllowed, string who)
    {
        if (!isAllowed)
            throw ManagementException.NotAuthorized($"Not {who} user");
    }

    private static (string Name, string Password)? Credentials(string header)
    {
        const string basic = "Basic ";
        if (!header.StartsWith(basic, StringComparison.OrdinalIgnoreCase))
            return null;
        var bytes = new byte[header.Length];
        if (!Convert.TryFromBase64String(header[basic.Length..].Trim(), bytes, out var count))
            return null;
        var text = Encoding.UTF8.GetString(bytes, 0, count);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? null : (text[..colon], text[(colon + 1)..]);
    }
}
