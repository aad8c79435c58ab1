using System.Runtime.CompilerServices;

namespace OrleansMq.Gateways.Kafka.Connections.Loops;

/// <summary>Awaited, it has the rest run on the thread pool.</summary>
internal readonly struct LoopExit : ICriticalNotifyCompletion
{
    public static LoopExit Now => default;

    public LoopExit GetAwaiter() => this;

    public bool IsCompleted => false;

    public void OnCompleted(Action continuation) => ThreadPool.QueueUserWorkItem(static next => next(), continuation, preferLocal: false);

    public void UnsafeOnCompleted(Action continuation) => ThreadPool.UnsafeQueueUserWorkItem(static next => next(), continuation, preferLocal: false);

    public void GetResult()
    {
    }
}
