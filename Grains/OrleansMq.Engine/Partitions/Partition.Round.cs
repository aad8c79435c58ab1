using OrleansMq.Api;

namespace OrleansMq.Partitions;

// The append loop: one round of group commit, on an append thread or on that of a caller who may write.
public sealed partial class Partition : IAppendWork
{
    private readonly RoundWriter _writer;

    void IAppendWork.Run(AppendRound round) => RunTurn(round, sender: null);

    /// <summary>One turn of the loop.</summary>
    /// <param name="round">What it needs.</param>
    /// <param name="sender">Whose thread it runs on, and whose appends are completed there; null for an append thread.</param>
    private void RunTurn(AppendRound round, object? sender)
    {
        _queue.TakeRound(round);
        var replication = _replication;
        var visible = RunRound(round, replication);
        replication.AfterRound(round);
        Complete(round.Operations, sender);
        round.Clear();
        if (visible > 0)
            _waiters.Advance(visible);
        if (_queue.EndTurn())
            _ports.Threads.Schedule(this);
    }

    // One work item completes some: each is done in a moment, a work item of its own would cost more than that.
    private static void Complete(List<AppendOperation> operations, object? sender)
    {
        const int together = 16;
        AppendOperation? first = null, last = null;
        var count = 0;
        foreach (var operation in operations)
        {
            if (sender is not null && ReferenceEquals(operation.Sender, sender))
            {
                operation.CompleteNow();
                continue;
            }
            if (first is not null && (operation.Home is { } home ? home != first.Home : count == together || first.Home is not null))
            {
                first.Complete();
                (last, count) = (null, 0);
            }
            if (last is null)
                first = operation;
            else
                last.Next = operation;
            last = operation;
            count++;
        }
        first?.Complete();
    }

    /// <summary>
    /// Decides every operation of the round: the <see cref="RoundWriter"/> deduplicates, stamps, writes, and hands what is written to the
    /// replication.
    /// </summary>
    /// <returns>The bytes that became visible to readers.</returns>
    private long RunRound(AppendRound round, IPartitionReplication replication)
    {
        try
        {
            lock (_log!.AppendLock)
            {
                if (RefuseAll(round))
                    return 0;
                return _writer.Run(round, replication, _ports.Log.Now);
            }
        }
        catch (Exception fault)
        {
            // A storage fault that gets here left the file in a state nobody knows; anything else is a bug of ours. Either way the
            // partition stops.
            var reason = StorageFaults.IsStorageFault(fault)
                ? StorageFaults.Describe(_log!.Directory, fault)
                : $"A bug in OrleansMq stopped the partition: {fault.Message} Please report it; then restart the broker.";
            GoOffline(reason, fault);
            // Also those that were written: without the flush, or the high watermark, nothing was promised.
            foreach (var operation in round.Operations)
                operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError, reason));
            return 0;
        }
    }

    private bool RefuseAll(AppendRound round)
    {
        var error = Refusal(out var message);
        if (_closed && error == ErrorCode.NotLeaderOrFollower)
            error = ErrorCode.None; // What was taken in before the close is still written.
        if (error == ErrorCode.None)
        {
            var bytes = 0L;
            foreach (var operation in round.Operations)
                bytes += operation.Batch.Length;
            if (_ports.Space.Check(bytes) is not { } full)
                return false;
            (error, message) = (ErrorCode.KafkaStorageError, full);
        }
        foreach (var operation in round.Operations)
            operation.Decide(ProduceResult.Failed(error, message));
        return true;
    }
}
