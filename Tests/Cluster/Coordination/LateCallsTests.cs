using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Tests.Cluster.Brokers;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Cluster.Coordination;

/// <summary>Calls that arrive after their repetition.</summary>
public sealed class LateCallsTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly ManualClock _clock = new();
    private readonly Guid _call = Guid.NewGuid();

    [Fact]
    public void Call_is_late_after_a_later_attempt_of_it()
    {
        var late = new LateCalls(_clock);
        Assert.False(late.IsLate(_call, 1));
        Assert.False(late.IsLate(_call, 2));
        Assert.False(late.IsLate(Guid.NewGuid(), 1));
        // A wait goes on in further calls of the same attempt.
        Assert.False(late.IsLate(_call, 2));
        Assert.True(late.IsLate(_call, 1));
        Assert.False(late.IsLate(_call, 4));
        Assert.True(late.IsLate(_call, 3));
        Assert.True(late.IsLate(_call, 2));
    }

    [Fact]
    public void Repetitions_are_remembered_for_minutes_and_the_last_thousand()
    {
        var late = new LateCalls(_clock);
        Assert.False(late.IsLate(_call, 2));
        _clock.Advance(TimeSpan.FromMinutes(5));
        Assert.True(late.IsLate(_call, 1));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.False(late.IsLate(_call, 1));
        Assert.False(late.IsLate(_call, 2));
        for (var other = 0; other < 999; other++)
            Assert.False(late.IsLate(Guid.NewGuid(), 2));
        Assert.True(late.IsLate(_call, 1));
        Assert.False(late.IsLate(Guid.NewGuid(), 2));
        Assert.False(late.IsLate(Guid.NewGuid(), 1));
        Assert.False(late.IsLate(_call, 1));
    }

    [Fact]
    public async Task Commit_that_arrives_after_its_repetition_does_not_move_the_offset_back()
    {
        var broker = fixture.Silo.Outside;
        var (topic, group) = ($"late-{_call:N}", $"late-{_call:N}");
        await broker.CreateTopicAsync(new NewTopic(topic, 1));
        var grain = fixture.Silo.Client.GetGrain<IGroupGrain>(group);
        Assert.Equal(ErrorCode.None, await CommitAsync(attempt: 2, offset: 10));
        Assert.Equal(ErrorCode.None, (await broker.Groups.CommitOffsetsAsync(Commit(20))).Partitions.Single().Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await CommitAsync(attempt: 1, offset: 10));
        var fetched = await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group });
        Assert.Equal(20, fetched.Partitions.Single().Offset!.Offset);
        Assert.Null(CallAttempts.Carried);

        OffsetCommit Commit(long offset) =>
            new() { GroupId = group, Offsets = [new PartitionOffset(topic, 0, new CommittedOffset(offset))] };

        async Task<ErrorCode> CommitAsync(int attempt, long offset)
        {
            CallAttempts.Carry(_call, attempt);
            return ((OffsetCommitResult)(await grain.SendAsync(Commit(offset), default))!).Partitions.Single().Error;
        }
    }
}
