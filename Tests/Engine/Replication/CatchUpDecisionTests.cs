using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class CatchUpDecisionTests
{
    private static readonly ReplicaIdentity Member = new(3, Guid.NewGuid());

    [Theory]
    [InlineData(0, 0, false)]
    [InlineData(0, 1000, false)] // Not reachable: its speed is unknown.
    [InlineData(10, 0, false)]
    [InlineData(10, 8, false)]
    [InlineData(10, 9, true)]
    [InlineData(10, 1000, true)]
    public void Replica_that_hardly_approaches_is_too_slow(long taken, long grown, bool isTooSlow) =>
        Assert.Equal(isTooSlow, CatchUpDecision.IsTooSlow(taken, grown));

    [Fact]
    public void Approaching_replica_yields_until_it_is_near()
    {
        var follower = Aligned(0);
        follower.Watch(10_000, isInSync: false, interval: 1000, now: 0);
        Assert.False(follower.MustHurry(10_000));
        Answer(follower, 5_000);
        follower.Watch(10_100, isInSync: false, interval: 1000, now: 1000);
        Assert.False(follower.MustHurry(10_100));
        Answer(follower, 9_999);
        Assert.False(follower.MustHurry(10_100));
        Answer(follower, 10_050);
        Assert.True(follower.MustHurry(10_150));
        follower.Watch(10_150, isInSync: true, interval: 1000, now: 1100);
        Assert.False(follower.MustHurry(10_150));
    }

    [Fact]
    public void Slow_replica_hurries_until_it_is_in_sync_or_gone()
    {
        var follower = Aligned(0);
        follower.Watch(10_000, isInSync: false, interval: 1000, now: 0);
        Answer(follower, 100);
        follower.Watch(10_200, isInSync: false, interval: 1000, now: 999);
        Assert.False(follower.MustHurry(10_200));
        follower.Watch(10_200, isInSync: false, interval: 1000, now: 1000);
        Assert.True(follower.MustHurry(10_200));
        Answer(follower, 9_000);
        follower.Watch(10_300, isInSync: false, interval: 1000, now: 2000);
        Assert.True(follower.MustHurry(10_300));
        follower.Answered(Of(9_000, PushAnswerOutcome.NotAligned), logStart: 0);
        follower.Watch(10_400, isInSync: false, interval: 1000, now: 3000);
        Assert.False(follower.MustHurry(10_400));
    }

    private static FollowerProgress Aligned(long end)
    {
        var follower = new FollowerProgress(Member.Broker, session: 1, now: 0);
        Answer(follower, end);
        return follower;
    }

    private static void Answer(FollowerProgress follower, long end) => follower.Answered(Of(end, PushAnswerOutcome.Accepted), logStart: 0);

    private static PushAnswer Of(long end, PushAnswerOutcome outcome) => new(Guid.Empty, 1, 1, Member, 1, outcome, 1, end, end, 0);
}
