using System.Reflection;
using OrleansMq.Grains.Transactions;

namespace OrleansMq.Tests.Cluster.Transactions;

/// <summary>A grain factory of partitions that answer the end of a transaction by script.</summary>
public class MarkerGrains : DispatchProxy
{
    private Func<ErrorCode> _answer = null!;

    public static IGrainFactory Create(Func<ErrorCode> answer)
    {
        var factory = Create<IGrainFactory, MarkerGrains>();
        ((MarkerGrains)(object)factory)._answer = answer;
        return factory;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => new Partition(_answer);

    private sealed class Partition(Func<ErrorCode> answer) : ITransactionMarkerGrain
    {
        public Task<ErrorCode> EndTransactionAsync(long producerId, short producerEpoch, long number, int coordinatorEpoch, bool isCommit,
            bool raisesEpoch) => Task.FromResult(answer());
    }
}
