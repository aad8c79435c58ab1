using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// When a run ends, and whether the partition has recovered by then.
internal sealed partial class Cluster
{
    /// <summary>The end of a run in which no replica catches up after the faults.</summary>
    private const long EndAt = 10_000;

    /// <summary>The pushes that moved each broker's log end after the faults.</summary>
    private readonly int[] _caughtUpBy;

    /// <summary>
    /// The end of the run. Catch-up is promised a share of the time, not a duration, so a replica gets one round for each push that it
    /// took. A replica that takes none gets no more time. No replica needs more rounds than the longest log has batches, so a run ends even
    /// if replicas truncate and append the same records forever.
    /// </summary>
    private long Deadline => EndAt + Math.Min(_caughtUpBy.Max(), _brokers.Max(b => b.Disk.Batches.Count)) * RoundMs;

    /// <summary>The time in which a catching-up replica takes at least one batch on average: the read, the longest rest on both brokers,
    /// and both messages; a lost message costs the time until the leader resends.</summary>
    private long RoundMs
    {
        get
        {
            const int read = 5;
            const int message = 2; // Beside the usual delay, since a few messages take much longer.
            var rest = Scenario.CatchUpShare < CatchUpPace.WholeTime ? (long)(CatchUpPace.LongestRest.TotalMilliseconds / 10) : 0;
            var resend = LeaderReplica.CatchUpPatience * _options.ResendMs + _options.HeartbeatMs;
            return read + 2 * rest + 2 * (Scenario.MaxDelayMs + message) + 2 * Scenario.DropPercent * resend / 100;
        }
    }

    /// <summary>Whether faults are over, and the reader has seen every acknowledged record.</summary>
    private bool IsDone => _now > FaultsEndAt + 200 && (_restored
        || (_brokers.All(b => b.IsUp) && _topic.Store.State is { Reassignment.IsEmpty: true } state
            && state.Isr.Length == state.Replicas.Length
            && _topic.Leader is { } leader && leader.Log.HighWatermark == leader.Log.LogEndOffset
            && _topic.Clients.Position == leader.Log.HighWatermark));

    private void NoteCatchUp(SimulatedBroker broker, long endBefore)
    {
        if (_now > FaultsEndAt && broker.Log.LogEndOffset > endBefore)
            _caughtUpBy[broker.Id]++;
    }

    private void CheckEnd()
    {
        if (_topic.Leader is { } leader)
        {
            _topic.Clients.OnServing(leader.Log);
            CheckKeys(_topic);
        }
        if (IsDone)
            return;
        // A write in flight may remove the last member that kept its log from the ISR. Then no broker may lead, and the operator has to
        // choose.
        Figures.Stuck = 1;
        Verdict.Require(!_topic.Store.State.Isr.Concat(_topic.Store.State.Elr).Any(IsTrulyAlive),
            $"liveness: an eligible member is alive, but the partition is not healthy {_now - FaultsEndAt} ms after the last fault: "
            + $"{_topic.Store.State}");
    }

    private bool IsTrulyAlive(ReplicaIdentity member) =>
        _brokers[member.Broker] is { IsUp: true } broker && broker.Identity == member && broker.Disk.Topic == _topic;
}
