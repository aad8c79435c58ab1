using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A producer's batch on its way into a simulated log.</summary>
internal sealed class SimulatedAppend(byte[] batch, Acks acks, long waiter) : IAppend
{
    public ReadOnlyMemory<byte> Batch { get; } = batch;
    public long Waiter { get; } = waiter;
    public Acks Acks { get; } = acks;
    public bool IsWritten { get; set; }
    public bool IsDuplicate { get; set; }
    public long BaseOffset { get; set; } = -1;
    public long EndOffset { get; set; } = -1;
}

/// <summary>What the broker's append core writes to in a simulation: a leadership and its log.</summary>
internal sealed class SimulatedAppends(LeaderReplica leader, SimulatedLog log, List<ReplicationEffect> effects, long now)
    : IAppendTarget<SimulatedAppend>
{
    private readonly List<SimulatedAppend> _staged = [];

    /// <summary>Whether what is written begins with a statement of message ids.</summary>
    public bool Restates { get; init; }

    /// <summary>Appends a group of one, and answers it by <see cref="CompleteAppend"/>.</summary>
    public void Append(SimulatedAppend append) => AppendCore.Run(this, [append]);

    public bool Refuses(SimulatedAppend append)
    {
        var refused = leader.RefuseAppend(append.Acks.WaitsForReplicas(), now);
        if (refused == ErrorCode.None)
            return false;
        Answer(append, refused);
        return true;
    }

    public ProducerDecision Check(SimulatedAppend append) => log.CheckProducer(append.Batch);

    public void DecideUnstaged(SimulatedAppend append, in ProducerDecision decision)
    {
        if (decision.Outcome != ProducerOutcome.Duplicate)
        {
            Answer(append, decision.ErrorCode);
            return;
        }
        append.IsDuplicate = true;
        Decide(append, decision.BaseOffset, decision.LastOffset + 1);
    }

    public void Stage(SimulatedAppend append) => _staged.Add(append);

    public void Write()
    {
        if (Restates && _staged.Count > 0)
            log.Restate(leader.Epoch);
        foreach (var append in _staged)
        {
            var written = log.Append(append.Batch, leader.Epoch);
            Decide(append, written.BaseOffset, written.NextOffset);
        }
        _staged.Clear();
    }

    public void Await(SimulatedAppend append) =>
        leader.OnAppended(append.EndOffset, append.BaseOffset, append.IsDuplicate, append.Waiter, append.Acks);

    public void AfterAppends() => leader.AfterAppends(now);

    private void Decide(SimulatedAppend append, long baseOffset, long endOffset)
    {
        (append.IsWritten, append.BaseOffset, append.EndOffset) = (true, baseOffset, endOffset);
        if (!append.Acks.WaitsForReplicas())
            Answer(append, ErrorCode.None);
    }

    private void Answer(SimulatedAppend append, ErrorCode error) =>
        effects.Add(new CompleteAppend(append.Waiter, error, error == ErrorCode.None ? append.BaseOffset : -1));
}
