namespace OrleansMq.Api;

/// <summary>The caller of a heartbeat, as authorization sees it. Its session sets it, whatever the caller sent. The fields are those of
/// the session.</summary>
/// <param name="Principal">Type and name, such as <c>User:alice</c>.</param>
/// <param name="ClientId">The name that the client gives itself.</param>
/// <param name="Listener">The listener that accepted the connection.</param>
/// <param name="Host">The address that the client calls from.</param>
/// <param name="Protocol">How the session reaches the broker, as a number.</param>
internal sealed record Subscriber(string Principal, string ClientId, string Listener, string Host, int Protocol)
{
    /// <summary>Code in a broker's process, which calls without a session and may describe every topic. No session is like it: each has a
    /// principal.</summary>
    public static Subscriber Broker { get; } = new("", "", "", "", 0);
}
