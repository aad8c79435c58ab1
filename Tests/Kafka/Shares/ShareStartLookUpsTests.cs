using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Shares;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>Look-ups of where share groups begin.</summary>
public sealed class ShareStartLookUpsTests
{
    private static readonly ShareStartPlace Place = new("g", Guid.NewGuid(), 3);
    private static readonly Guid Incarnation = Guid.NewGuid();

    private readonly ManualTimeProvider _time = new();
    private readonly ShareStartLookUps _lookUps;
    private int _begun;

    public ShareStartLookUpsTests() => _lookUps = new ShareStartLookUps(_time);

    [Fact]
    public async Task Look_up_that_is_under_way_is_shared_by_members_of_one_incarnation()
    {
        var answer = new TaskCompletionSource<OffsetResult>();
        var one = FindAsync(answer.Task);
        Assert.True(_lookUps.IsDue(Place));
        var two = FindAsync(answer.Task);
        var other = _lookUps.FindAsync(Place, Guid.NewGuid(), () => Task.FromResult(new OffsetResult(ErrorCode.None, 5)));
        Assert.Equal(5, (await other).Offset);
        answer.SetResult(new OffsetResult(ErrorCode.None, 7));
        Assert.Equal(7, (await one).Offset);
        Assert.Equal(7, (await two).Offset);
        Assert.Equal(1, _begun);
    }

    [Fact]
    public async Task Failed_look_up_is_repeated_after_a_second_and_at_last_after_half_a_minute()
    {
        foreach (var seconds in new[] { 1, 2, 4, 8, 16, 30, 30 })
        {
            Assert.True(_lookUps.IsDue(Place));
            await FindAsync(Task.FromResult(new OffsetResult(ErrorCode.LeaderNotAvailable, -1)));
            _time.Advance(TimeSpan.FromSeconds(seconds) - TimeSpan.FromMilliseconds(1));
            Assert.False(_lookUps.IsDue(Place));
            Assert.True(_lookUps.IsDue(Place with { Partition = 4 }));
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }
        await FindAsync(Task.FromResult(new OffsetResult(ErrorCode.None, 7)));
        Assert.True(_lookUps.IsDue(Place));
        await Assert.ThrowsAsync<IOException>(() => FindAsync(Task.FromException<OffsetResult>(new IOException("No answer."))));
        Assert.False(_lookUps.IsDue(Place));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(_lookUps.IsDue(Place));
    }

    private Task<OffsetResult> FindAsync(Task<OffsetResult> answer) => _lookUps.FindAsync(Place, Incarnation, () =>
    {
        Interlocked.Increment(ref _begun);
        return answer;
    });
}
