namespace OrleansMq.VirtualHosts;

/// <summary>All of a virtual host.</summary>
/// <param name="Settings">Its own document.</param>
/// <param name="Topology">Its exchanges, queues and bindings.</param>
internal sealed record VirtualHostState(VirtualHostSettings Settings, VirtualHostTopology Topology);
