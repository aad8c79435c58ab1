using OrleansMq.Diagnostics;

namespace OrleansMq.Replication.Links;

/// <summary>
/// The link to one other broker, in lanes: one that appends may wait for, and two for batches of catching-up replicas, so that a live push
/// never queues behind those on either side. A partition that changes lanes may overtake itself; then its push is refused and resent.
/// </summary>
internal sealed class ReplicaLink
{
    private readonly ReplicaLinks _links;
    private readonly int _broker;
    private readonly IReplicationHost _host;
    private readonly EngineLog _log;
    private readonly LinkLane _live;
    private readonly LinkLane _catchUp;
    private readonly LinkLane _hurried;
    private volatile bool _failing;

    /// <summary>Creates an idle link.</summary>
    public ReplicaLink(ReplicaLinks links, int broker, IReplicationHost host, TimeProvider time, EngineLog log)
    {
        (_links, _broker, _host, _log) = (links, broker, host, log);
        _live = new LinkLane(this, links, time, PushLane.Live);
        _catchUp = new LinkLane(this, links, time, PushLane.CatchUp);
        _hurried = new LinkLane(this, links, time, PushLane.Hurried);
    }

    /// <summary>Whether a call may succeed. No batches are read for an unreachable broker, since they would be read again and again.
    /// Heartbeats detect its return.</summary>
    public bool IsReachable => !_failing && _host.IsAlive(_broker);

    /// <summary>Adds a message to the next bundle.</summary>
    public void Send(ReplicaKey key, ReplicationMessage message, PushLane lane) => LaneOf(lane).Send(key, message);

    /// <summary>Queues a read of batches for a push.</summary>
    public void Fill(Replica replica, LeaderReplica leader, FillPush fill) => LaneOf(fill.Lane).Fill(replica, leader, fill);

    /// <summary>Completes when nothing is in flight any more.</summary>
    public Task CloseAsync() => Task.WhenAll(_live.CloseAsync(), _catchUp.CloseAsync(), _hurried.CloseAsync());

    /// <summary>Delivers a bundle, and passes the answers on.</summary>
    /// <returns>The answers; empty if there are none.</returns>
    /// <exception cref="Exception">Any failure of the transport: see <see cref="Failed"/>.</exception>
    public async Task<ReadOnlyMemory<byte>> DeliverAsync(ReadOnlyMemory<byte> bundle, CancellationToken cancellationToken)
    {
        if (!_host.IsAlive(_broker) || _links.IsClosed)
            return default;
        var answers = await _host.DeliverAsync(_broker, bundle, cancellationToken).ConfigureAwait(false);
        _failing = false;
        // These lanes send no heartbeats that would detect the broker's return.
        _catchUp.StartFilling();
        _hurried.StartFilling();
        if (!_links.IsClosed)
            _links.OnAnswers(_broker, answers);
        return answers;
    }

    /// <summary>Records that a bundle was not answered. Logged once, until a delivery succeeds again.</summary>
    public void Failed(Exception fault)
    {
        if (!_failing && !_links.IsClosed)
            _log.Write(EngineLogLevel.Information, $"Could not reach broker {_broker}: {fault.Message}");
        _failing = true;
    }

    private LinkLane LaneOf(PushLane lane) => lane switch
    {
        PushLane.Live => _live,
        PushLane.CatchUp => _catchUp,
        _ => _hurried,
    };
}
