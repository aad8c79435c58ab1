using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class IsrDecisionTests
{
    private const long MaxLagMs = 100;
    private const long LogStart = 20;
    private const long HighWatermark = 50;
    private const long EpochStart = 60;

    [Fact]
    public void ISR_is_unchanged_while_all_keep_up() => Assert.Null(Propose(Stored([A, B, C]), CaughtUp(B), CaughtUp(C)));

    [Fact]
    public void Dead_or_lagging_member_leaves()
    {
        Assert.Equal([A, C], Propose(Stored([A, B, C]), CaughtUp(B) with { IsAlive = false }, CaughtUp(C))!.Isr.ToArray());
        Assert.Equal([A, C], Propose(Stored([A, B, C]), CaughtUp(B) with { LagMs = MaxLagMs + 1 }, CaughtUp(C))!.Isr.ToArray());
        Assert.Null(Propose(Stored([A, B, C]), CaughtUp(B) with { LagMs = MaxLagMs }, CaughtUp(C)));
    }

    [Fact]
    public void Member_leaving_a_too_small_ISR_stays_eligible()
    {
        var next = Propose(Stored([A, B]), CaughtUp(B) with { IsAlive = false }, CaughtUp(C) with { IsAlive = false })!;
        Assert.Equal([A], next.Isr.ToArray());
        Assert.Equal([B], next.Elr.ToArray());
        Assert.Empty(Propose(Stored([A, B, C]), CaughtUp(B) with { IsAlive = false }, CaughtUp(C))!.Elr);
    }

    [Fact]
    public void Member_that_lost_its_tail_leaves_and_is_not_eligible()
    {
        var next = Propose(Stored([A, B]), CaughtUp(RenewedB) with { IsAligned = false }, CaughtUp(C) with { IsAlive = false })!;
        Assert.Equal([A], next.Isr.ToArray());
        Assert.Empty(next.Elr);
        Assert.Empty(Propose(Stored([A], B), CaughtUp(RenewedB) with { IsAligned = false }, CaughtUp(C) with { IsAlive = false })!.Elr);
    }

    [Theory]
    [InlineData(EpochStart, true)]
    [InlineData(EpochStart - 1, false)]
    public void Replica_that_reaches_the_epochs_start_joins(long end, bool joins) =>
        Assert.Equal(joins, Propose(Stored([A, B]), CaughtUp(B), CaughtUp(C) with { CountedEnd = end }) is not null);

    /// <summary>It could lead with records whose deletion was answered.</summary>
    [Theory]
    [InlineData(LogStart + 1, true)]
    [InlineData(LogStart, true)]
    [InlineData(LogStart - 1, false)]
    public void Replica_that_has_deleted_what_the_leader_has_joins(long start, bool joins) =>
        Assert.Equal(joins, Propose(Stored([A, B]), CaughtUp(B), CaughtUp(C) with { LogStart = start }) is not null);

    /// <summary>Its flushed end may have reached the high watermark.</summary>
    [Theory]
    [InlineData(EpochStart, true)]
    [InlineData(EpochStart - 1, false)]
    public void Replica_with_what_was_acknowledged_without_a_flush_joins(long end, bool joins) =>
        Assert.Equal(joins, Propose(Stored([A, B]), CaughtUp(B), CaughtUp(C) with { LogEnd = end }) is not null);

    [Fact]
    public void Unaligned_replica_does_not_join_at_any_end() =>
        Assert.Null(Propose(Stored([A, B]), CaughtUp(B), CaughtUp(C) with { IsAligned = false, CountedEnd = 1000 }));

    [Fact]
    public void Large_enough_ISR_clears_the_ELR()
    {
        var next = Propose(Stored([A], C), CaughtUp(B), CaughtUp(C) with { IsAlive = false })!;
        Assert.Equal([A, B], next.Isr.ToArray());
        Assert.Empty(next.Elr);
    }

    [Theory]
    [InlineData(true, true, false, false, false, false, false)]
    [InlineData(true, false, true, false, false, false, false)]
    [InlineData(true, false, false, true, false, false, false)]
    [InlineData(true, false, false, false, false, false, true)]
    [InlineData(false, true, true, true, false, false, true)]
    [InlineData(true, true, true, true, true, false, true)]
    [InlineData(true, true, true, true, false, true, true)]
    public void Incarnation_ends_when_the_tail_may_be_lost(bool known, bool clean, bool sameBoot, bool sync, bool flushFailed, bool cut,
        bool renew) =>
        Assert.Equal(renew, IncarnationDecision.MustRenew(new OpenedLog(known, clean, sameBoot, sync, flushFailed, cut)));

    private static FollowerView CaughtUp(ReplicaIdentity identity) =>
        new(identity.Broker, identity, IsAlive: true, IsAligned: true, CountedEnd: EpochStart, LogEnd: EpochStart, LogStart, LagMs: 0);

    private static PartitionState? Propose(PartitionState committed, params FollowerView[] followers) =>
        IsrDecision.Propose(committed, A, followers, LogStart, HighWatermark, replicated: EpochStart, EpochStart, MaxLagMs,
            minInsync: 2);
}
