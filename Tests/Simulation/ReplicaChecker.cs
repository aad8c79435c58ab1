using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>Invariant 4: two replicas that hold the same offset and leader epoch hold the same bytes. And what makes the others hold: one
/// leader an epoch, no older epoch accepted after a newer one, no reads without a lease.</summary>
internal sealed class ReplicaChecker
{
    private readonly Dictionary<(long Offset, int Epoch), ReadOnlyMemory<byte>> _written = [];
    private readonly Dictionary<ReplicaIdentity, int> _accepted = [];
    private readonly Dictionary<int, (int Broker, LeaderReplica Leader, long Since)> _leaders = [];

    public void OnAppended(in ReplicatedBatch batch)
    {
        if (!_written.TryAdd((batch.BaseOffset, batch.Epoch), batch.Bytes) && !_written[(batch.BaseOffset, batch.Epoch)].Span.SequenceEqual(batch.Bytes.Span))
            throw new Verdict($"invariant 4: offset {batch.BaseOffset} of epoch {batch.Epoch} holds other bytes on another replica");
    }

    public void OnAccepted(PushAnswer answer)
    {
        var before = _accepted.GetValueOrDefault(answer.Follower, -1);
        Verdict.Require(answer.Epoch >= before, $"fence: {answer.Follower} accepted epoch {answer.Epoch} after {before}");
        _accepted[answer.Follower] = answer.Epoch;
    }

    public void OnLeading(int broker, LeaderReplica leader, long now)
    {
        if (!_leaders.TryAdd(leader.Epoch, (broker, leader, now)) && !ReferenceEquals(_leaders[leader.Epoch].Leader, leader))
            throw new Verdict($"one leader an epoch: {broker} and {_leaders[leader.Epoch].Broker} lead epoch {leader.Epoch}");
    }

    /// <summary>Who has been replaced by a member of its own ISR serves no reads for longer than its lease.</summary>
    public void OnRead(LeaderReplica leader, long now, long leaseMs)
    {
        if (_leaders.TryGetValue(leader.Epoch + 1, out var next) && leader.Committed!.Isr.Any(m => m.Broker == next.Broker))
            Verdict.Require(now - next.Since <= leaseMs, $"lease: epoch {leader.Epoch} serves reads {now - next.Since} ms after the next one began");
    }
}
