using System.Runtime.InteropServices;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Replication.Links;
using OrleansMq.State;

namespace OrleansMq.Replication;

// Executes the roles' effects: in order, on one thread at a time, outside any lock.
internal sealed partial class Replica
{
    /// <summary>Tells the host that the replica's leadership, ISR, ELR or replica set changed.</summary>
    private sealed record TellHost : ReplicationEffect
    {
        public static readonly TellHost Instance = new();
    }

    /// <summary>A store or disk operation, with the leadership that requested it: there may be another one by the time it
    /// completes.</summary>
    private sealed record AskedBy(LeaderReplica Leader, ReplicationEffect Effect) : ReplicationEffect;

    /// <summary>Releases the memory of a push that was encoded or never made.</summary>
    private sealed record Release(IDisposable Memory) : ReplicationEffect;

    // Appends that wait for the high watermark, and those that wait for the replicas but for no flush, each in the order of the leader's
    // answers. They get their number under the append lock.
    private readonly Queue<AppendOperation> _waiting = new();
    private readonly Queue<AppendOperation> _waitingUnflushed = new();
    // Reassignments and deletions, by their waiter.
    private readonly Dictionary<long, TaskCompletionSource<ErrorCode>> _promises = [];
    private readonly Lock _pumpLock = new();
    private readonly List<ReplicationEffect> _performing = [];
    private int _pumps;

    /// <summary>Executes the roles' effects. If another thread is doing so, it executes these too.</summary>
    private void Pump(BundleReply? reply = null)
    {
        // Counts concurrent calls; their effects were queued before they were counted.
        if (Interlocked.Increment(ref _pumps) != 1)
            return;
        int seen;
        do
        {
            seen = Volatile.Read(ref _pumps);
            PerformAll(reply);
        }
        while (Interlocked.Add(ref _pumps, -seen) != 0);
    }

    private void PerformAll(BundleReply? reply)
    {
        lock (_log!.AppendLock)
        {
            _performing.AddRange(_effects);
            _effects.Clear();
            _bound = 0;
        }
        foreach (var effect in CollectionsMarshal.AsSpan(_performing))
        {
            try
            {
                Perform(effect, reply);
            }
            catch (Exception fault)
            {
                // The remaining effects are executed regardless, since callers wait for them.
                Partition.GoOffline(StorageFaults.DescribeBug(fault), fault);
            }
        }
        _performing.Clear();
    }

    private void Perform(ReplicationEffect effect, BundleReply? reply)
    {
        switch (effect)
        {
            case SendMessage send when reply is not null && reply.Broker == send.To && send.Message is not Push:
                reply.Add(Key, send.Message);
                break;
            case SendMessage send:
                _ports.Send(send.To, Key, send.Message, send.Lane);
                break;
            case CompleteAppend complete:
                Complete(complete);
                break;
            case CompleteReassignment complete:
                TakePromise(complete.Waiter).SetResult(complete.Error);
                break;
            case CompleteDeletion complete:
                TakePromise(complete.Waiter).SetResult(complete.Error);
                break;
            case AskedBy { Effect: FillPush fill } asked:
                _ports.Fill(this, asked.Leader, fill);
                break;
            case AskedBy { Effect: ReadState read } asked:
                _ = ReadStateAsync(asked.Leader, read.Operation);
                break;
            case AskedBy { Effect: WriteState write } asked:
                _ = WriteStateAsync(asked.Leader, write);
                break;
            case ReportUncleanElection report:
                _ports.Log.Write(EngineLogLevel.Error, $"Unclean election of {TopicPartition}'s leader in epoch {report.Epoch}. "
                    + $"Acknowledged records below offset {report.LogStart} and from {report.LogEnd} on are lost. Records in between are "
                    + "lost if they were acknowledged in another epoch than these, each of which begins at its offset: "
                    + string.Join(", ", report.History.Select(e => $"{e.Epoch} from {e.StartOffset}")) + ".");
                break;
            case ReportLoss loss:
                _ports.Log.Write(EngineLogLevel.Error,
                    $"{TopicPartition} discards its records from offset {loss.From} on, including acknowledged ones up to {loss.To}: its "
                    + $"leader of epoch {loss.Epoch} follows an unclean election and does not have them.");
                break;
            case Release release:
                release.Memory.Dispose();
                break;
            case TellHost:
                Tell();
                break;
        }
    }

    // Under the append lock.
    private (long Waiter, Task<ErrorCode> Answer) Promise()
    {
        var answer = new TaskCompletionSource<ErrorCode>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_pumpLock)
            _promises.Add(++_waiter, answer);
        return (_waiter, answer.Task);
    }

    private TaskCompletionSource<ErrorCode> TakePromise(long waiter)
    {
        lock (_pumpLock)
        {
            _promises.Remove(waiter, out var answer);
            return answer!;
        }
    }

    private Queue<AppendOperation> WaitingOf(Acks level) => level == Acks.Replicated ? _waitingUnflushed : _waiting;

    private void Complete(CompleteAppend complete)
    {
        AppendOperation operation;
        lock (_pumpLock)
            operation = WaitingOf(complete.Level).Dequeue();
        Invariant.Check(operation.Waiter == complete.Waiter, "Appends are answered in the order of the log.");
        if (complete.Error != ErrorCode.None)
            operation.Decide(ProduceResult.Failed(complete.Error, Describe(complete.Error)));
        operation.Complete();
    }

    private string Describe(ErrorCode error) => error switch
    {
        ErrorCode.NotEnoughReplicasAfterAppend =>
            $"The batch is in the log of {TopicPartition}'s leader, but too few replicas are in sync to acknowledge it. Retry.",
        _ => $"It is unknown whether the batch stays in the log of {TopicPartition}: the leader changed, or its replicas did not answer in "
            + "time. Retry.",
    };

    private async Task ReadStateAsync(LeaderReplica claimant, long operation)
    {
        StoredPartitionState? stored;
        try
        {
            using var timeout = new CancellationTokenSource(_ports.StoreTimeout, _ports.Time);
            stored = await _ports.Host.ReadStateAsync(Key, timeout.Token).WaitAsync(_ports.StoreTimeout, _ports.Time).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            // After any failure the outcome is unknown.
            _ports.Warn(Key, $"Could not read the state of {TopicPartition}: {fault.Message}");
            Step(() => claimant.OnStateFailed(operation));
            return;
        }
        if (stored is null)
            Step(() => claimant.Stop("no state of the partition is stored: its topic was deleted, or is not created yet"));
        else
            await BeginAsync(claimant, () => claimant.OnStateRead(operation, stored.State, stored.ETag, Now)).ConfigureAwait(false);
    }

    private async Task WriteStateAsync(LeaderReplica claimant, WriteState write)
    {
        string etag;
        try
        {
            using var timeout = new CancellationTokenSource(_ports.StoreTimeout, _ports.Time);
            etag = await _ports.Host.WriteStateAsync(Key, write.State, write.ETag!, timeout.Token)
                .WaitAsync(_ports.StoreTimeout, _ports.Time)
                .ConfigureAwait(false);
        }
        catch (StateConflictException)
        {
            // Re-read at once: another broker leads, or an earlier write of this leader was stored.
            Step(() =>
            {
                claimant.OnStateFailed(write.Operation);
                claimant.Tick(Now);
            });
            return;
        }
        catch (Exception fault)
        {
            _ports.Warn(Key, $"It is unknown whether the state of {TopicPartition} was written: {fault.Message}");
            Step(() => claimant.OnStateFailed(write.Operation));
            return;
        }
        await BeginAsync(claimant, () => claimant.OnStateWritten(write.Operation, etag, Now)).ConfigureAwait(false);
    }

    // A leadership begins with flushes: thousands that begin at once must not block the thread pool, and share the disk's time.
    private async Task BeginAsync(LeaderReplica claimant, Action step)
    {
        if (claimant.Status == LeaderStatus.Claiming)
            await Partition.Ports.Claims.RunAsync(() => Step(step)).ConfigureAwait(false);
        else
            Step(step);
    }

    private void Tell()
    {
        try
        {
            _ports.Host.OnLeadershipChanged(this);
        }
        catch (Exception fault)
        {
            _ports.Log.Write(EngineLogLevel.Error, $"Reporting {TopicPartition}'s leadership failed: {fault.Message}", fault);
        }
    }
}
