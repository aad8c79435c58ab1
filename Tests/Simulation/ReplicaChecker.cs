using System.Numerics;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>Checks invariant 4: two replicas that hold the same offset and leader epoch hold the same record. Also checks what the other
/// invariants rest on: one leader an epoch, no older epoch accepted after a newer one, no reads without a lease, enough replicas behind
/// every acknowledgement, no resignation before the drain.</summary>
internal sealed class ReplicaChecker
{
    private readonly Dictionary<(long Offset, int Epoch), (SimulatedRecord Record, uint Holders)> _written = [];
    private readonly Dictionary<ReplicaIdentity, int> _accepted = [];
    private readonly Dictionary<int, (int Broker, LeaderReplica Leader, long Since)> _leaders = [];

    public void OnAppended(int broker, in ReplicatedBatch batch)
    {
        foreach (var record in SimulatedRecord.In(batch.Bytes))
        {
            var place = (batch.BaseOffset + record.Delta, batch.Epoch);
            var known = _written.GetValueOrDefault(place, (Record: record, Holders: 0u));
            if (known.Record != record)
                throw new Verdict($"invariant 4: offset {place.Item1} of epoch {batch.Epoch} is {record} on {broker} and {known.Record} on "
                    + "another replica");
            _written[place] = (record, known.Holders | 1u << broker);
        }
    }

    /// <summary>A replica that may lead has each key's last record; of a key that was deleted last, at most the tombstone.</summary>
    public void CheckKeys(int broker, SimulatedLog log)
    {
        var written = new Dictionary<int, (long Offset, bool IsTombstone)>();
        for (var offset = log.LogStartOffset; offset < log.LogEndOffset; offset++)
        {
            if (_written.TryGetValue((offset, EpochHistory.EpochOf(log.Epochs, offset)), out var known))
                written[known.Record.CompactionKey] = (offset, known.Record.IsTombstone);
        }
        var held = new Dictionary<int, long>();
        foreach (var batch in log.Batches)
        {
            foreach (var record in SimulatedRecord.In(batch.Bytes))
            {
                if (batch.BaseOffset + record.Delta >= log.LogStartOffset)
                    held[record.CompactionKey] = batch.BaseOffset + record.Delta;
            }
        }
        foreach (var (key, last) in written)
        {
            var has = held.GetValueOrDefault(key, -1);
            Verdict.Require(has == last.Offset || (last.IsTombstone && has < 0),
                $"compaction: key {key} was {(last.IsTombstone ? "deleted" : "written")} last at offset {last.Offset}, and broker "
                + $"{broker}'s last record of it is at {has}");
        }
    }

    /// <summary>An <c>acks=all</c> is answered: at least <c>min.insync.replicas</c> replicas had the record. While its leader's state is
    /// the stored one, as many counted members had it.</summary>
    public void OnAcknowledged(long offset, int epoch, LeaderReplica? leader, PartitionState stored, int minInsync)
    {
        var holders = _written[(offset, epoch)].Holders;
        Verdict.Require(BitOperations.PopCount(holders) >= minInsync,
            $"min.insync.replicas: offset {offset} is acknowledged, and only {BitOperations.PopCount(holders)} replicas had it");
        if (leader?.Committed?.LeaderToken != stored.LeaderToken)
            return;
        var counted = 0;
        foreach (var member in stored.Isr)
            counted += (int)(holders >> member.Broker & 1);
        foreach (var member in stored.Elr)
            counted += (int)(holders >> member.Broker & 1);
        Verdict.Require(counted >= minInsync,
            $"min.insync.replicas: offset {offset} is acknowledged, and only {counted} members had it: {stored}");
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

    /// <summary>A leader replaced by a member of its own ISR serves no reads for longer than its lease. One without an ELR is replaced by
    /// no other, unless an operator chose it.</summary>
    public void OnRead(LeaderReplica leader, long now, long leaseMs)
    {
        if (_leaders.TryGetValue(leader.Epoch + 1, out var next) && (leader.Committed!.Isr.Any(m => m.Broker == next.Broker)
            || (!leader.HasElr && next.Leader.Committed?.UncleanEpoch != next.Leader.Epoch)))
            Verdict.Require(now - next.Since <= leaseMs,
                $"lease: epoch {leader.Epoch} serves reads {now - next.Since} ms after the next one began");
    }

    /// <summary>A leader stores its resignation.</summary>
    public static void OnResigning(LeaderReplica leader, SimulatedLog log, int successor, SimulatedLog? successors, bool inTime)
    {
        if (!inTime)
            return;
        Verdict.Require(log.HighWatermark == log.LogEndOffset,
            $"handover: epoch {leader.Epoch} resigns at {log.HighWatermark} of {log.LogEndOffset}");
        Verdict.Require(successors is null || successors.LogEndOffset >= log.LogEndOffset,
            $"handover: successor {successor} lacks records");
    }
}
