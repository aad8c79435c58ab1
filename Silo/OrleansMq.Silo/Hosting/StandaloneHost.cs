using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions;

namespace OrleansMq.Silo.Hosting;

/// <summary>The engine in one process, on local disk, without a cluster.</summary>
internal sealed class StandaloneHost(BrokerOptions options) : IBrokerHost
{
    private readonly CancellationTokenSource _stopped = new();
    private Task<LocalBroker>? _opening;
    private volatile LocalBroker? _broker;

    /// <inheritdoc/>
    public string Flavour => "standalone";

    /// <inheritdoc/>
    public IReadOnlyCollection<Partition> LocalPartitions => _broker?.Partitions ?? [];

    /// <inheritdoc/>
    public HostedCluster? Cluster => _broker is { } broker ? new HostedCluster(broker.ClusterId, broker.Metadata, broker) : null;

    /// <summary>Returns all groups, since no other broker coordinates any.</summary>
    public async ValueTask<IReadOnlyCollection<string>> LocalGroupsAsync(CancellationToken cancellationToken) => _broker is { } broker
        ? [.. (await broker.Groups.ListGroupsAsync(cancellationToken)).Select(group => group.GroupId)]
        : [];

    /// <summary>Begins to open the data directory while the web host is built, since both take time.</summary>
    public void Configure(WebApplicationBuilder builder) => _opening = Task.Run(() => LocalBroker.OpenAsync(options, _stopped.Token));

    /// <inheritdoc/>
    public async Task<IBroker> StartAsync(IServiceProvider services, CancellationToken cancellationToken)
    {
        await using var stop = cancellationToken.Register(_stopped.Cancel);
        return _broker = await _opening!;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        if (_opening is not null)
            await _opening.ContinueWith(static _ => { }, TaskScheduler.Default);
        if (_opening is { IsCompletedSuccessfully: true })
            await _opening.Result.DisposeAsync();
        _stopped.Dispose();
    }
}
