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

    [Fact]
    public void Replica_whose_turn_comes_less_often_than_the_checks_hurries_when_it_takes_only_what_was_appended_since()
    {
        var follower = Aligned(0);
        var end = 1000L;
        follower.Watch(end, isInSync: false, interval: 1000, now: 0);
        // What it lacked, then in each turn what was appended since the one before.
        for (var now = 1000; now <= 10_000; now += 1000)
        {
            end += 10;
            Beat(follower, now);
            if (now == 5000)
                Answer(follower, end);
            follower.Watch(end, isInSync: false, interval: 1000, now);
            Assert.False(follower.MustHurry(end + 100));
        }
        Answer(follower, end);
        follower.Watch(end, isInSync: false, interval: 1000, now: 10_500);
        Assert.True(follower.MustHurry(end + 100));
    }

    [Fact]
    public void Replica_that_was_silent_is_not_too_slow()
    {
        var follower = Aligned(0);
        follower.Watch(1000, isInSync: false, interval: 1000, now: 0);
        for (var now = 1000; now <= 10_000; now += 1000)
            follower.Watch(1000 + now, isInSync: false, interval: 1000, now);
        Beat(follower, 10_100);
        Answer(follower, 5000);
        follower.Watch(11_100, isInSync: false, interval: 1000, now: 11_000);
        Assert.False(follower.MustHurry(20_000));
    }

    private static void Beat(FollowerProgress follower, long now) =>
        follower.Answered(Of(follower.StatedEnd, PushAnswerOutcome.Accepted) with { SentAt = now }, logStart: 0);

    private static FollowerProgress Aligned(long end)
    {
        var follower = new FollowerProgress(Member.Broker, session: 1, now: 0);
        Answer(follower, end);
        return follower;
    }

    private static void Answer(FollowerProgress follower, long end) => follower.Answered(Of(end, PushAnswerOutcome.Accepted), logStart: 0);

    private static PushAnswer Of(long end, PushAnswerOutcome outcome) => new(Guid.Empty, 1, 1, Member, 1, outcome, 1, end, end, 0);
}
