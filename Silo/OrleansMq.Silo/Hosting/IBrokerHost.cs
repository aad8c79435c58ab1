using OrleansMq.Brokers;
using OrleansMq.Hosting;

namespace OrleansMq.Silo.Hosting;

/// <summary>
/// Drives the engine behind the gateways: one process by itself, or a silo of a cluster. Called in this order, once each:
/// <see cref="Begin"/>, then (with the gateways listening) <see cref="StartAsync"/>, and at the end, also after a failure, dispose.
/// </summary>
internal interface IBrokerHost : IAsyncDisposable
{
    /// <summary><c>standalone</c> or <c>cluster</c>.</summary>
    string Flavour { get; }

    /// <summary>Begins what can be done while the gateways start.</summary>
    void Begin() { }

    /// <summary>Opens the data directory and recovers; returns the broker when it can serve.</summary>
    /// <exception cref="DataDirectoryException">The directory is locked, unwritable, or of a newer format.</exception>
    Task<HostedBroker> StartAsync(HostContext context, CancellationToken cancellationToken);

    /// <summary>This broker as others reach it; null outside a cluster, and before <see cref="StartAsync"/> is done.</summary>
    ClusterMemberEndpoints? Member => null;

    /// <summary>Hands over what other brokers can take, while requests are still served: called once before the gateways drain.</summary>
    Task HandOverAsync() => Task.CompletedTask;
}

/// <summary>What the program gives a host.</summary>
/// <param name="Loggers">Where log lines go.</param>
/// <param name="Gateways">The gateways, which listen already.</param>
internal sealed record HostContext(ILoggerFactory Loggers, IReadOnlyList<IGateway> Gateways)
{
    /// <summary>The port that a gateway has taken; null where there is no such gateway.</summary>
    public int? PortOf(string gateway) => Gateways.FirstOrDefault(present => present.Name == gateway)?.EndPoint.Port;
}

/// <summary>A broker in its cluster.</summary>
/// <param name="ClusterId">The cluster's name.</param>
/// <param name="Orleans">The address for other brokers.</param>
/// <param name="Gateway">The address for Orleans clients.</param>
internal sealed record ClusterMemberEndpoints(string ClusterId, string Orleans, string Gateway);
