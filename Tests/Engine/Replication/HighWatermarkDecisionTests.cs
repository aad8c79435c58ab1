using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class HighWatermarkDecisionTests
{
    [Fact]
    public void High_watermark_is_bounded_by_committed_and_proposed_members()
    {
        Assert.Equal([A, B, C], HighWatermarkDecision.Union(Stored([A, B]), [Stored([A, B, C])]).Order(ByBroker).ToArray());
        Assert.Equal([A, B, C], HighWatermarkDecision.Union(Stored([A, B, C]), [Stored([A, B])]).Order(ByBroker).ToArray());
    }

    [Fact]
    public void Only_members_of_both_sets_count_as_in_sync()
    {
        Assert.Equal(2, HighWatermarkDecision.CountInsync(Stored([A, B]), [Stored([A, B, C])]));
        Assert.Equal(1, HighWatermarkDecision.CountInsync(Stored([A, B]), [Stored([A, C])]));
        Assert.Equal(2, HighWatermarkDecision.CountInsync(Stored([A, B]), []));
    }

    [Fact]
    public void High_watermark_is_the_lowest_end()
    {
        Assert.Equal(7, HighWatermarkDecision.Next(5, [9, 7, 8], enoughReplicas: true, hasElr: false));
        Assert.Equal(9, HighWatermarkDecision.Next(5, [9], enoughReplicas: true, hasElr: false));
    }

    [Fact]
    public void High_watermark_stands_still_with_unknown_ends_missing_replicas_or_lagging_ELR()
    {
        Assert.Equal(5, HighWatermarkDecision.Next(5, [9, null], enoughReplicas: true, hasElr: false));
        Assert.Equal(5, HighWatermarkDecision.Next(5, [9, 9], enoughReplicas: false, hasElr: false));
        Assert.Equal(5, HighWatermarkDecision.Next(5, [9, 9], enoughReplicas: true, hasElr: true));
        Assert.Equal(5, HighWatermarkDecision.Next(5, [], enoughReplicas: true, hasElr: false));
    }

    [Fact]
    public void High_watermark_never_goes_back() =>
        Assert.Equal(5, HighWatermarkDecision.Next(5, [9, 3], enoughReplicas: true, hasElr: false));

    [Theory]
    [InlineData(4, 5, true)]
    [InlineData(5, 5, true)]
    [InlineData(6, 5, false)]
    public void Append_below_the_high_watermark_is_acknowledged(long end, long highWatermark, bool acknowledged)
    {
        Assert.Equal(acknowledged, HighWatermarkDecision.IsReplicated(end, highWatermark));
        Assert.Equal(acknowledged, HighWatermarkDecision.IsDuplicateReplicated(end, highWatermark));
        Assert.Equal(acknowledged, HighWatermarkDecision.KnowsLatest(highWatermark, end));
    }

    [Fact]
    public void Lease_needs_every_member()
    {
        Assert.Equal(1000, LeaseDecision.Until([900, 1000], leaseMs: 100));
        Assert.True(LeaseDecision.Until([FollowerProgress.Never, 1000], leaseMs: 100) < 0);
        Assert.Equal(long.MaxValue, LeaseDecision.Until([], leaseMs: 100));
    }

    private static readonly Comparer<ReplicaIdentity> ByBroker = Comparer<ReplicaIdentity>.Create((x, y) => x.Broker.CompareTo(y.Broker));
}
