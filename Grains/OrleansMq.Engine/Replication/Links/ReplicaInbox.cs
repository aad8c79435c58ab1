using OrleansMq.Partitions;

namespace OrleansMq.Replication.Links;

/// <summary>
/// Processes bundles of other brokers in the order of their arrival, since reordered ones would only be refused. There is one inbox for
/// each broker's live traffic, and one for all catch-up. Catch-up bundles of all senders are processed one at a time, with a rest in
/// between while there is live traffic. A small live bundle is processed on the receiving thread if that may write, otherwise on the append
/// threads, since a follower's work is writing.
/// </summary>
/// <param name="ports">The partitions' dependencies, with the append threads.</param>
/// <param name="take">Processes a bundle.</param>
/// <param name="time">The broker's clock.</param>
/// <param name="pace">Decides when catch-up rests; null for live traffic.</param>
internal sealed class ReplicaInbox(PartitionPorts ports, Action<BundleReply, ReadOnlyMemory<byte>> take, TimeProvider time,
    CatchUpPace? pace) : IAppendWork
{
    /// <summary>The size below which processing takes no longer than waking a thread.</summary>
    private const int SmallBytes = 64 << 10;

    private readonly Lock _lock = new();
    private readonly Queue<(int Broker, ReadOnlyMemory<byte> Bundle, TaskCompletionSource<ReadOnlyMemory<byte>> Answer)> _waiting = new();

    /// <summary>Queues a bundle and returns its answers.</summary>
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

    // The senders of waiting bundles get their answers later, and send no more meanwhile.
    private async Task ScheduleAfterAsync(TimeSpan rest)
    {
        await Task.Delay(rest, time).ConfigureAwait(false);
        ports.Threads.Schedule(this);
    }
}
