namespace OrleansMq.VirtualHosts;

/// <summary>The ids of connections: <c>INCARNATION/RANDOM</c>. The incarnation is that of the broker which has the connection: where it
/// has ended, so have its connections.</summary>
internal static class ConnectionId
{
    /// <summary>Returns a new id.</summary>
    /// <param name="incarnation">The broker's incarnation; empty for a broker that stands alone.</param>
    public static string New(string incarnation) => $"{incarnation}/{Guid.NewGuid():n}";

    /// <summary>Returns what stands for all connections of a connection's broker: <c>INCARNATION/</c>.</summary>
    public static string OfBroker(string id) => $"{IncarnationOf(id)}/";

    /// <summary>Returns the incarnation; empty if the id names none.</summary>
    public static string IncarnationOf(string id) => id.LastIndexOf('/') is > 0 and var end ? id[..end] : "";
}
