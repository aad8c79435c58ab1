using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Groups.Lag;

/// <summary>A broker that counts offset lookups, which a test may answer.</summary>
internal sealed class CountedBroker(IBroker inner) : ForwardingBroker(inner)
{
    public int Found;
    public int Fetched;

    /// <summary>Answers lookups for which it returns a result.</summary>
    public Func<TopicPartition, OffsetResult?>? OnFind { get; set; }

    public override ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default)
    {
        Interlocked.Increment(ref Found);
        return OnFind?.Invoke(partition) is { } answer ? new(answer) : base.FindOffsetAsync(partition, spec, cancellationToken);
    }

    public override ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        Interlocked.Increment(ref Fetched);
        return base.FetchAsync(request, cancellationToken);
    }
}
