using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A broken invariant, by its name.</summary>
internal sealed class Verdict(string message) : Exception(message)
{
    public static void Require(bool holds, string invariant)
    {
        if (!holds)
            throw new Verdict(invariant);
    }
}

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

/// <summary>Invariants 1 to 3, by what clients were told: knows nothing of replicas but what a leader holds.</summary>
internal sealed class ClientChecker
{
    private readonly SortedDictionary<long, (int Producer, int Sequence)> _acknowledged = [];
    private readonly List<(int Producer, int Sequence)> _seen = [];
    private readonly int[] _lastSequence = new int[SimulatedLog.IdempotentProducers];

    public ClientChecker() => Array.Fill(_lastSequence, -1);

    public int Acknowledged => _acknowledged.Count;
    public int Seen => _seen.Count;

    public void OnAcknowledged(long offset, (int Producer, int Sequence) record)
    {
        if (!_acknowledged.TryAdd(offset, record))
            Verdict.Require(_acknowledged[offset] == record, $"invariant 1: offset {offset} was acknowledged to two records");
    }

    /// <summary>A leader begins, or serves: it must hold all that was acknowledged, and all that was seen as it was seen.</summary>
    public void OnServing(SimulatedLog log)
    {
        foreach (var (offset, record) in _acknowledged)
        {
            Verdict.Require(offset < log.LogEndOffset && SimulatedLog.Parse(log[offset].Bytes) == record,
                $"invariant 1: the acknowledged record {record} at offset {offset} is lost");
        }
        for (var i = 0; i < _seen.Count; i++)
            Verdict.Require(i < log.LogEndOffset && SimulatedLog.Parse(log[i].Bytes) == _seen[i], $"invariant 2: what was seen at offset {i} changed");
    }

    public void OnLatest(long latest, SimulatedLog log)
    {
        Verdict.Require(latest >= _seen.Count, $"invariant 2: the latest offset went back from {_seen.Count} to {latest}");
        Verdict.Require(latest <= log.LogEndOffset, "invariant 2: the latest offset is above the log's end");
        for (var offset = _seen.Count; offset < latest; offset++)
            See(SimulatedLog.Parse(log[offset].Bytes));
        if (latest > 0)
            Verdict.Require(SimulatedLog.Parse(log[latest - 1].Bytes) == _seen[(int)latest - 1], $"invariant 2: what was seen at offset {latest - 1} changed");
    }

    private void See((int Producer, int Sequence) record)
    {
        if (record.Producer < SimulatedLog.IdempotentProducers)
        {
            var last = _lastSequence[record.Producer];
            Verdict.Require(record.Sequence == last + 1, $"invariant 3: producer {record.Producer}'s record {record.Sequence} follows on {last}");
            _lastSequence[record.Producer] = record.Sequence;
        }
        _seen.Add(record);
    }
}
