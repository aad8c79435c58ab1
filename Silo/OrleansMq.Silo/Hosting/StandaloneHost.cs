using OrleansMq.Brokers;
using OrleansMq.Hosting;

namespace OrleansMq.Silo.Hosting;

/// <summary>One process, local disk, no cluster: the engine in process.</summary>
internal sealed class StandaloneHost(BrokerOptions options) : IBrokerHost
{
    private readonly CancellationTokenSource _stopped = new();
    private Task<LocalBroker>? _opening;

    /// <inheritdoc/>
    public string Flavour => "standalone";

    /// <summary>Begins to open the data directory while the gateways start: both take their time.</summary>
    public void Begin() => _opening = Task.Run(() => LocalBroker.OpenAsync(options, _stopped.Token));

    /// <inheritdoc/>
    public async Task<HostedBroker> StartAsync(HostContext context, CancellationToken cancellationToken)
    {
        await using var stop = cancellationToken.Register(_stopped.Cancel);
        var broker = await _opening!;
        return new HostedBroker(options.BrokerId.Value, broker.ClusterId, broker.Access, broker, broker.Metadata, broker)
        {
            // This broker coordinates every group.
            LocalGroups = async cancellation =>
                [.. (await broker.Groups.ListGroupsAsync(cancellation)).Select(static group => group.GroupId)],
            Security = broker.Security,
            OpenVirtualHosts = async () => await broker.OpenVirtualHostsAsync(),
        };
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
