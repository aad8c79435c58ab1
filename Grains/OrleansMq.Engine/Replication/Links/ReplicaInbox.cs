using OrleansMq.Partitions;

namespace OrleansMq.Replication.Links;

/// <summary>
/// What one other broker sends, taken in the order it came: bundles that overtake each other would only be refused. A small one is taken on the thread that brings it,
/// where that may write; otherwise on the append threads, since what a follower does is write.
/// </summary>
internal sealed class ReplicaInbox(int broker, PartitionPorts ports, Action<BundleReply, ReadOnlyMemory<byte>> take) : IAppendWork
{
    /// <summary>Takes no longer than to wake a thread for it.</summary>
    private const int SmallBytes = 64 << 10;

    private readonly Lock _lock = new();
    private readonly Queue<(ReadOnlyMemory<byte> Bundle, TaskCompletionSource<ReadOnlyMemory<byte>> Answer)> _waiting = new();

    /// <summary>Takes a bundle in its turn.</summary>
    public Task<ReadOnlyMemory<byte>> ReceiveAsync(ReadOnlyMemory<byte> bundle)
    {
        var answer = new TaskCompletionSource<ReadOnlyMemory<byte>>(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isFirst;
        lock (_lock)
        {
            isFirst = _waiting.Count == 0;
            _waiting.Enqueue((bundle, answer));
        }
        if (isFirst && bundle.Length <= SmallBytes && ports.CallerWrites.TryEnter(out var began))
        {
            TakeNext();
            ports.CallerWrites.Leave(began);
        }
        else if (isFirst)
        {
            ports.Threads.Schedule(this);
        }
        return answer.Task;
    }

    void IAppendWork.Run(AppendRound round) => TakeNext();

    private void TakeNext()
    {
        (ReadOnlyMemory<byte> Bundle, TaskCompletionSource<ReadOnlyMemory<byte>> Answer) next;
        lock (_lock)
            next = _waiting.Peek();
        using (var reply = new BundleReply(broker))
        {
            try
            {
                take(reply, next.Bundle);
                next.Answer.SetResult(reply.ToBundle());
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
            ports.Threads.Schedule(this);
    }
}
