using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Access;

/// <summary>Peeks into queues come one at a time, and each has a time limit.</summary>
public sealed class PeekTurnTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly ManualClock _clock = new();
    private readonly PeekTurn _turn;

    public PeekTurnTests() => _turn = new PeekTurn(_clock);

    [Fact]
    public async Task Peek_that_reaches_its_time_limit_is_refused_and_the_next_one_begins()
    {
        var silent = _turn.TryPeekAsync(Patience, NeverAsync, default);
        var next = _turn.TryPeekAsync(Patience, static _ => Task.FromResult<QueueRecord[]>([]), default);
        _clock.Advance(PeekTurn.Limit - TimeSpan.FromTicks(1));
        Assert.False(silent.IsCompleted);
        Assert.False(next.IsCompleted);
        _clock.Advance(TimeSpan.FromTicks(1));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => silent.WaitAsync(Patience));
        Assert.Equal(ErrorCode.RequestTimedOut, refused.Code);
        Assert.Contains("3 seconds", refused.Message, StringComparison.Ordinal);
        Assert.Empty((await next.WaitAsync(Patience))!);
        Assert.Equal(0, _clock.TimerCount);
    }

    [Fact]
    public async Task Peek_without_a_turn_in_its_time_is_not_begun()
    {
        var first = new TaskCompletionSource<QueueRecord[]>();
        var peeking = _turn.TryPeekAsync(Patience, _ => first.Task, default);
        Assert.Null(await _turn.TryPeekAsync(TimeSpan.Zero, static _ => throw new InvalidOperationException("It began."), default));
        first.SetResult([]);
        Assert.Empty((await peeking.WaitAsync(Patience))!);
    }

    [Fact]
    public async Task Cancelled_peek_gives_its_turn_up()
    {
        using var gone = new CancellationTokenSource();
        var cancelled = _turn.TryPeekAsync(Patience, NeverAsync, gone.Token);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.WaitAsync(Patience));
        Assert.Empty((await _turn.TryPeekAsync(Patience, static _ => Task.FromResult<QueueRecord[]>([]), default).WaitAsync(Patience))!);
    }

    private static async Task<QueueRecord[]> NeverAsync(CancellationToken cancellationToken)
    {
        await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        return [];
    }
}
