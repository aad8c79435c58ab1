using OrleansMq.Diagnostics;

namespace OrleansMq.Replication.Links;

/// <summary>
/// The way to one other broker, in lanes: one for what somebody may wait for, and two for the batches of replicas that catch up, so that a
/// live push never queues behind those, neither here nor over there. A partition that changes lanes may overtake itself: then it is
/// refused, and sent again.
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

    /// <summary>A link with nothing to say yet.</summary>
    public ReplicaLink(ReplicaLinks links, int broker, IReplicationHost host, TimeProvider time, EngineLog log)
    {
        (_links, _broker, _host, _log) = (links, broker, host, log);
        _live = new LinkLane(this, links, time, PushLane.Live);
        _catchUp = new LinkLane(this, links, time, PushLane.CatchUp);
        _hurried = new LinkLane(this, links, time, PushLane.Hurried);
    }

    /// <summary>Whether a call may get there. For a broker that is not there nothing is read, or its partitions would be, again and again:
    /// heartbeats find out when it is back.</summary>
    public bool IsReachable => !_failing && _host.IsAlive(_broker);

    /// <summary>Adds a message to what goes out next.</summary>
    public void Send(ReplicaKey key, ReplicationMessage message, PushLane lane) => LaneOf(lane).Send(key, message);

    /// <summary>Has batches read for a push, in its turn.</summary>
    public void Fill(Replica replica, LeaderReplica leader, FillPush fill) => LaneOf(fill.Lane).Fill(replica, leader, fill);

    /// <summary>Completes when nothing is under way any more.</summary>
    public Task CloseAsync() => Task.WhenAll(_live.CloseAsync(), _catchUp.CloseAsync(), _hurried.CloseAsync());

    /// <summary>Carries a bundle there, and what is answered to who asked.</summary>
    /// <returns>The answers; empty where there are none.</returns>
    /// <exception cref="Exception">Whatever the way there throws: see <see cref="Failed"/>.</exception>
    public async Task<ReadOnlyMemory<byte>> DeliverAsync(ReadOnlyMemory<byte> bundle, CancellationToken cancellationToken)
    {
        if (!_host.IsAlive(_broker) || _links.IsClosed)
            return default;
        var answers = await _host.DeliverAsync(_broker, bundle, cancellationToken).ConfigureAwait(false);
        _failing = false;
        // They send no heartbeats that would find out that somebody is there again.
        _catchUp.StartFilling();
        _hurried.StartFilling();
        if (!_links.IsClosed)
            _links.OnAnswers(_broker, answers);
        return answers;
    }

    /// <summary>A bundle was not answered. Told once, until something arrives again.</summary>
    public void Failed(Exception fault)
    {
        if (!_failing && !_links.IsClosed)
            _log.Write(EngineLogLevel.Information, $"Broker {_broker} was not reached: {fault.Message}");
        _failing = true;
    }

    private LinkLane LaneOf(PushLane lane) => lane switch
    {
        PushLane.Live => _live,
        PushLane.CatchUp => _catchUp,
        _ => _hurried,
    };
}
