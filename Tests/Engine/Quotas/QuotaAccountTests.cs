using OrleansMq.Quotas;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Quotas;

/// <summary>Reads whose size is known when they have ended.</summary>
public sealed class QuotaAccountTests
{
    private const double Rate = 100;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly ManualClock _clock = new();
    private readonly QuotaAccount _account;

    // A thousand units are saved.
    public QuotaAccountTests() =>
        _account = new QuotaAccount(QuotaKey.ConsumerByteRate, new QuotaScope("alice", null), Rate, Rate, _clock);

    [Fact]
    public async Task As_many_reads_are_in_progress_as_the_saved_units_cover()
    {
        Assert.True(_account.TryBeginRead(400, out _));
        Assert.True(_account.TryBeginRead(400, out _));
        Assert.False(_account.TryBeginRead(400, out var wait));
        Assert.Equal(TimeSpan.Zero, wait);
        var waiting = _account.WaitForReadAsync(Patience, CancellationToken.None).AsTask();
        Assert.False(waiting.IsCompleted);
        _account.EndRead(0);
        Assert.Equal(TimeSpan.Zero, await waiting.WaitAsync(Patience));
        Assert.True(_account.TryBeginRead(400, out _));
        _account.EndRead(0);
        _account.EndRead(900);
        // One in any case, however large.
        Assert.True(_account.TryBeginRead(5_000, out _));
        Assert.False(_account.TryBeginRead(400, out _));
        _account.EndRead(300);
        Assert.False(_account.TryBeginRead(400, out wait));
        Assert.Equal(TimeSpan.FromSeconds(2), wait);
        _clock.Advance(wait);
        Assert.True(_account.TryBeginRead(400, out _));
    }

    [Fact]
    public async Task Read_that_ends_wakes_one_that_still_waits()
    {
        Assert.True(_account.TryBeginRead(1_000, out _));
        using var gone = new CancellationTokenSource();
        var left = _account.WaitForReadAsync(Patience, gone.Token).AsTask();
        var late = _account.WaitForReadAsync(TimeSpan.FromSeconds(1), CancellationToken.None).AsTask();
        var first = _account.WaitForReadAsync(Patience, CancellationToken.None).AsTask();
        var second = _account.WaitForReadAsync(Patience, CancellationToken.None).AsTask();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(TimeSpan.FromSeconds(1), await late.WaitAsync(Patience));
        _account.EndRead(0);
        Assert.Equal(TimeSpan.FromSeconds(1), await first.WaitAsync(Patience));
        Assert.False(second.IsCompleted);
        Assert.True(_account.TryBeginRead(1_000, out _));
        _account.EndRead(0);
        await second.WaitAsync(Patience);
        // Nothing is in progress.
        Assert.Equal(TimeSpan.Zero, await _account.WaitForReadAsync(Patience, CancellationToken.None));
    }

    [Fact]
    public void Account_with_a_read_in_progress_is_not_idle()
    {
        _account.LookAgain(out _);
        Assert.True(_account.TryBeginRead(1, out _));
        _account.LookAgain(out var isIdle);
        Assert.False(isIdle);
        _account.EndRead(0);
        _account.LookAgain(out isIdle);
        Assert.True(isIdle);
    }
}
