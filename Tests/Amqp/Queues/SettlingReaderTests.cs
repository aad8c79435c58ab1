using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>The rounds of a reader's settlements.</summary>
public sealed class SettlingReaderTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Reader _reader = new();

    [Fact]
    public async Task Settlements_that_come_during_a_round_follow_together()
    {
        var first = _reader.Settle(1);
        var answer = await _reader.NextRoundAsync([1]);
        var (second, third) = (_reader.Settle(2), _reader.Settle(3));
        var settling = _reader.AllSettled;
        Assert.False(first.IsCompleted);
        answer.SetResult(null);
        await first.WaitAsync(Patience);
        answer = await _reader.NextRoundAsync([2, 3]);
        Assert.False(second.IsCompleted || third.IsCompleted || settling.IsCompleted);
        answer.SetResult(null);
        await Task.WhenAll(second, third, settling).WaitAsync(Patience);
    }

    [Fact]
    public async Task Round_that_fails_fails_its_settlements_and_no_others()
    {
        var first = _reader.Settle(1);
        var answer = await _reader.NextRoundAsync([1]);
        var second = _reader.Settle(2);
        answer.SetResult(new InvalidOperationException("expected"));
        Assert.Equal("expected", (await Assert.ThrowsAsync<InvalidOperationException>(() => first.WaitAsync(Patience))).Message);
        (await _reader.NextRoundAsync([2])).SetResult(null);
        await second.WaitAsync(Patience);
        await _reader.AllSettled.WaitAsync(Patience);
    }

    [Fact]
    public async Task Round_of_nothing_begins_only_where_none_is_on_its_way()
    {
        _reader.BeginNothing();
        var answer = await _reader.NextRoundAsync([]);
        _reader.BeginNothing();
        answer.SetResult(null);
        await _reader.AllSettled.WaitAsync(Patience);
        var settled = _reader.Settle(1);
        answer = await _reader.NextRoundAsync([1]);
        _reader.BeginNothing();
        answer.SetResult(null);
        await settled.WaitAsync(Patience);
        await _reader.AllSettled.WaitAsync(Patience);
        Assert.Equal(2, _reader.Rounds);
    }

    private sealed class Reader : SettlingReader<int>
    {
        private readonly SemaphoreSlim _begun = new(0);
        private volatile int[] _settlements = [];
        private volatile TaskCompletionSource<Exception?> _answer = new();
        private volatile int _rounds;

        public int Rounds => _rounds;

        public Task AllSettled => Settling;

        public Task Settle(int settlement) => AddSettlement(settlement);

        public void BeginNothing() => BeginRound();

        public async Task<TaskCompletionSource<Exception?>> NextRoundAsync(int[] settlements)
        {
            Assert.True(await _begun.WaitAsync(Patience));
            Assert.Equal(settlements, _settlements);
            return _answer;
        }

        protected override Task<Exception?> SettleRoundAsync(List<int> settlements)
        {
            _settlements = [.. settlements];
            _answer = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
            Interlocked.Increment(ref _rounds);
            _begun.Release();
            return _answer.Task;
        }
    }
}
