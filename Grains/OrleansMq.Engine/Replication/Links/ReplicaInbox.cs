using OrleansMq.Partitions;

namespace OrleansMq.Replication.Links;

/// <summary>
/// What other brokers send, taken in the order it came: bundles of one broker that overtake each other would only be refused. There is one
/// for each broker's live traffic, and one for all that catches up: its pieces come one at a time, whoever sends them, and with a rest
/// between them where others append. A small live one is taken on the thread that brings it, where that may write; otherwise on the append
/// threads, since what a follower does is write.
/// </summary>
/// <param name="ports">Where bundles are taken.</param>
/// <param name="take">Takes one.</param>
/// <param name="time">The broker's clock.</param>
/// <param name="pace">When catch-up rests; null for live traffic.</param>
internal sealed class ReplicaInbox(PartitionPorts ports, Action<BundleReply, ReadOnlyMemory<byte>> take, TimeProvider time,
    CatchUpPace? pace) : IAppendWork
{
    /// <summary>Takes no longer than to wake a thread for it.</summary>
    private const int SmallBytes = 64 << 10;

    private readonly Lock _lock = new();
    private readonly Queue<(int Broker, ReadOnlyMemory<byte> Bundle, TaskCompletionSource<ReadOnlyMemory<byte>> Answer)> _waiting = new();

    /// <summary>Takes a bundle in its turn.</summary>
    public Task<ReadOnlyMemory<byte>> ReceiveAsync(int broker, ReadOnlyMemory<byte> bundle)
    {
        var answer = new TaskCompletionSource<ReadOnlyMemory<byte>>(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isFirst;
        lock (_lock)
        {
            isFirst = _waiting.Count == 0;
            _waiting.Enqueue((broker, bundle, answer));
        }
        if (isFirst && pace is null && bundle.Length <= SmallBytes && ports.CallerWrites.TryEnter(out var began))
        {
            TakeNext();
            ports.CallerWrites.Leave(began);
        }
        else if (isFirst)
        {
            ScheduleNext();
        }
        return answer.Task;
    }

    void IAppendWork.Run(AppendRound round) => TakeNext();

    private void TakeNext()
    {
        (int Broker, ReadOnlyMemory<byte> Bundle, TaskCompletionSource<ReadOnlyMemory<byte>> Answer) next;
        lock (_lock)
            next = _waiting.Peek();
        var began = pace is null ? 0 : time.GetTimestamp();
        using (var reply = new BundleReply(next.Broker, pace is not null))
        {
            try
            {
                take(reply, next.Bundle);
                pace?.Worked(time.GetElapsedTime(began));
                next.Answer.SetResult(reply.ToBundle(pace is { IsLive: true } ? BundleMarks.SenderIsLive : BundleMarks.None));
            }
            catch (Exception fault)
            {
                next.Answer.SetException(fault);
            }
        }
        bool more;
        lock (_lock)
        {
            _waiting.Dequeue();
            more = _waiting.Count > 0;
        }
        if (more)
            ScheduleNext();
    }

    private void ScheduleNext()
    {
        if (pace?.Wait() is { } rest && rest > TimeSpan.Zero)
            _ = ScheduleAfterAsync(rest);
        else
            ports.Threads.Schedule(this);
    }

    // Those who sent what waits get their answer later: they send no more meanwhile.
    private async Task ScheduleAfterAsync(TimeSpan rest)
    {
        await Task.Delay(rest, time).ConfigureAwait(false);
        ports.Threads.Schedule(this);
    }
}
