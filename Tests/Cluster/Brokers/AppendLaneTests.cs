using System.Buffers.Binary;
using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Brokers;

namespace OrleansMq.Tests.Cluster.Brokers;

/// <summary>Which batches share a call, with a grain that answers on command. A batch is identified by its first four bytes, and is
/// answered with that number as its offset.</summary>
public sealed class AppendLaneTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly Grain _grain = new();
    private readonly AppendLane _lane;

    public AppendLaneTests() => _lane = new AppendLane(new ClientCalls(null!, _grain, null!), Acks.All, deaths: null);

    [Fact]
    public async Task Batch_is_sent_at_once_while_few_calls_are_in_flight()
    {
        var (first, second) = (Append(1), Append(2));
        Assert.Equal([1], await _grain.NextAsync());
        Assert.Equal([2], await _grain.NextAsync());
        _grain.Answer(2);
        _grain.Answer(1);
        Assert.Equal((1, 2), ((await first).BaseOffset, (await second).BaseOffset));
        Assert.Equal([Acks.All, Acks.All], _grain.Levels);
    }

    [Fact]
    public async Task Batches_arriving_during_calls_share_the_next_call()
    {
        var appends = Enumerable.Range(0, 5).Select(number => Append(number)).ToArray();
        Assert.Equal([0], await _grain.NextAsync());
        Assert.Equal([1], await _grain.NextAsync());
        Assert.False(_grain.HasNext);
        _grain.Answer(1);
        Assert.Equal([2, 3, 4], await _grain.NextAsync());
        _grain.Answer(2);
        _grain.Answer(0);
        Assert.Equal([0, 1, 2, 3, 4], (await Task.WhenAll(appends).WaitAsync(Deadline)).Select(result => result.BaseOffset));
    }

    [Fact]
    public async Task Full_call_is_sent_without_delay()
    {
        for (var number = 0; number < 5; number++)
            _ = Append(number, 64 << 10);
        Assert.Equal([0], await _grain.NextAsync());
        Assert.Equal([1], await _grain.NextAsync());
        Assert.False(_grain.HasNext);
        _ = Append(5, 64 << 10);
        Assert.Equal([2, 3, 4, 5], await _grain.NextAsync());
    }

    [Fact]
    public async Task Batch_larger_than_a_call_is_sent_alone()
    {
        for (var number = 0; number < 3; number++)
            _ = Append(number);
        _ = Append(3, AppendLane.MaxBytes + 1);
        Assert.Equal([0], await _grain.NextAsync());
        Assert.Equal([1], await _grain.NextAsync());
        Assert.Equal([2], await _grain.NextAsync());
        Assert.Equal([3], await _grain.NextAsync());
    }

    [Fact]
    public async Task Call_carries_no_more_than_the_broker_writes_at_once()
    {
        for (var number = 0; number < 2 + AppendLane.MaxBatches + 1; number++)
            _ = Append(number);
        Assert.Equal([0], await _grain.NextAsync());
        Assert.Equal([1], await _grain.NextAsync());
        _grain.Answer(0);
        Assert.Equal(Enumerable.Range(2, AppendLane.MaxBatches), await _grain.NextAsync());
        _grain.Answer(1);
        Assert.Equal([2 + AppendLane.MaxBatches], await _grain.NextAsync());
    }

    [Fact]
    public async Task Each_batch_has_its_own_result()
    {
        _grain.ResultOf = static number => number == 3 ? ProduceResult.Failed(ErrorCode.CorruptMessage, "crc")
            : new ProduceResult(ErrorCode.None, number);
        var appends = Enumerable.Range(0, 5).Select(number => Append(number)).ToArray();
        foreach (var answered in new[] { 0, 1, 2 })
        {
            await _grain.NextAsync();
            _grain.Answer(answered);
        }
        var results = await Task.WhenAll(appends).WaitAsync(Deadline);
        Assert.Equal([ErrorCode.None, ErrorCode.None, ErrorCode.None, ErrorCode.CorruptMessage, ErrorCode.None],
            results.Select(result => result.Error));
    }

    [Fact]
    public async Task Failed_call_fails_every_batch_in_it_and_the_next_continues()
    {
        var appends = Enumerable.Range(0, 4).Select(number => Append(number)).ToArray();
        await _grain.NextAsync();
        await _grain.NextAsync();
        _grain.Fail(0, new TimeoutException("10 s"));
        await Assert.ThrowsAsync<TimeoutException>(() => appends[0]);
        Assert.Equal([2, 3], await _grain.NextAsync());
        _grain.Fail(2, new BrokerException(ErrorCode.LeaderNotAvailable, "broker 1 is down"));
        await Assert.ThrowsAsync<BrokerException>(() => appends[2]);
        await Assert.ThrowsAsync<BrokerException>(() => appends[3]);
        _grain.Answer(1);
        Assert.Equal(1, (await appends[1].WaitAsync(Deadline)).BaseOffset);
    }

    [Fact]
    public async Task Response_with_a_wrong_count_is_no_batchs_result()
    {
        var appends = Enumerable.Range(0, 4).Select(number => Append(number)).ToArray();
        await _grain.NextAsync();
        await _grain.NextAsync();
        _grain.Answer(0);
        await _grain.NextAsync();
        _grain.AnswerWith(2, new ProduceResult(ErrorCode.None, 7));
        await Assert.ThrowsAsync<InvalidOperationException>(() => appends[2]);
        await Assert.ThrowsAsync<InvalidOperationException>(() => appends[3]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Lent_memory_is_revoked_before_its_sender_is_answered(bool isAnswered)
    {
        var appends = Enumerable.Range(0, 4).Select(number => Append(number)).ToArray();
        await _grain.NextAsync();
        await _grain.NextAsync();
        _grain.Answer(0);
        await _grain.NextAsync();
        var lent = _grain.Lent(2);
        Assert.Equal(2, lent.Length);
        Assert.All(lent, static batch => Assert.Equal(4, LengthOf(batch)));
        if (isAnswered)
            _grain.Answer(2);
        else
            _grain.Fail(2, new TimeoutException("10 s"));
        await Task.WhenAny(appends[2], appends[3]).WaitAsync(Deadline);
        Assert.All(lent, static batch => Assert.Equal(0, LengthOf(batch)));
    }

    [Fact]
    public async Task Batches_keep_their_order_whichever_thread_sends_them()
    {
        const int count = 20_000;
        _grain.AnswersByItself = true;
        var appends = new Task<ProduceResult>[count];
        for (var number = 0; number < count; number++)
            appends[number] = Append(number);
        await Task.WhenAll(appends).WaitAsync(Deadline);
        Assert.Equal(Enumerable.Range(0, count), _grain.Arrived);
    }

    [Fact]
    public async Task Batch_that_waits_for_no_flush_does_not_wait_for_calls_that_do()
    {
        var appends = new[] { Append(0), Append(1), Append(2, isUnflushed: true), Append(3, isUnflushed: true) };
        foreach (var number in (int[])[0, 1, 2, 3])
            Assert.Equal([number], await _grain.NextAsync());
        Assert.Equal([Acks.All, Acks.All, Acks.Replicated, Acks.Replicated], _grain.Levels);
        foreach (var number in (int[])[3, 2, 1, 0])
            _grain.Answer(number);
        Assert.Equal([0, 1, 2, 3], (await Task.WhenAll(appends).WaitAsync(Deadline)).Select(result => result.BaseOffset));
    }

    [Fact]
    public async Task Batch_behind_one_that_waits_for_its_call_keeps_its_place_and_shares_the_call()
    {
        _ = Append(0);
        _ = Append(1);
        var behind = new[] { Append(2), Append(3, isUnflushed: true), Append(4) };
        Assert.Equal([0], await _grain.NextAsync());
        Assert.Equal([1], await _grain.NextAsync());
        Assert.False(_grain.HasNext);
        _grain.Answer(0);
        Assert.Equal([2, 3, 4], await _grain.NextAsync());
        Assert.Equal([Acks.All, Acks.All, Acks.All], _grain.Levels);
        _grain.Answer(2);
        await Task.WhenAll(behind).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Broker_that_does_not_know_the_level_is_asked_with_acks_all()
    {
        var appends = new[] { Append(0, isUnflushed: true), Append(1, isUnflushed: true), Append(2, isUnflushed: true),
            Append(3, isUnflushed: true) };
        await _grain.NextAsync();
        await _grain.NextAsync();
        _grain.Answer(0);
        Assert.Equal([2, 3], await _grain.NextAsync());
        var unknown = ProduceResult.Failed(ErrorCode.InvalidRequiredAcks, "Acks is 2; allowed are 0, 1 and -1 (all).");
        _grain.AnswerWith(2, unknown, unknown);
        Assert.Equal([2, 3], await _grain.NextAsync());
        Assert.Equal([Acks.Replicated, Acks.Replicated, Acks.Replicated, Acks.All], _grain.Levels);
        _grain.Answer(2);
        _grain.Answer(1);
        Assert.Equal([0, 1, 2, 3], (await Task.WhenAll(appends).WaitAsync(Deadline)).Select(result => result.BaseOffset));
    }

    private Task<ProduceResult> Append(int number, int bytes = 4, bool isUnflushed = false)
    {
        var batch = new byte[bytes];
        BinaryPrimitives.WriteInt32LittleEndian(batch, number);
        return _lane.AppendAsync(batch, isUnflushed);
    }

    private static int LengthOf(BatchInCall batch)
    {
        var length = -1;
        batch.Read(ref length, static (ref int length, ReadOnlySpan<byte> bytes) => length = bytes.Length);
        return length;
    }

    private sealed class Grain : IPartitionAppendGrain
    {
        private readonly ConcurrentDictionary<int, (BatchInCall[] Lent, int[] Numbers,
            TaskCompletionSource<ProduceResult[]> Answer)> _calls = new();
        private readonly System.Threading.Channels.Channel<int[]> _begun = System.Threading.Channels.Channel.CreateUnbounded<int[]>();
        private readonly ConcurrentQueue<int> _arrived = new();

        public Func<int, ProduceResult> ResultOf { get; set; } = static number => new ProduceResult(ErrorCode.None, number);

        /// <summary>The levels of the calls.</summary>
        public ConcurrentQueue<Acks> Levels { get; } = new();

        /// <summary>Whether calls are answered at once, on a pool thread.</summary>
        public bool AnswersByItself { get; set; }

        public bool HasNext => _begun.Reader.TryPeek(out _);

        public IEnumerable<int> Arrived => _arrived;

        public async Task<ProduceResult> AppendAsync(BatchInCall batch, Acks acks) => (await AppendManyAsync([batch], acks))[0];

        public Task<ProduceResult> AppendInTransactionAsync(BatchInCall batch, string transactionalId, long transaction) =>
            throw new NotSupportedException();

        public Task<ProduceResult[]> AppendManyAsync(BatchInCall[] batches, Acks acks)
        {
            Levels.Enqueue(acks);
            var numbers = Array.ConvertAll(batches, NumberOf);
            foreach (var number in numbers)
                _arrived.Enqueue(number);
            if (AnswersByItself)
                return Task.Run(() => Array.ConvertAll(numbers, number => ResultOf(number)));
            var answer = new TaskCompletionSource<ProduceResult[]>(TaskCreationOptions.RunContinuationsAsynchronously);
            _calls[numbers[0]] = (batches, numbers, answer);
            _begun.Writer.TryWrite(numbers);
            return answer.Task;
        }

        /// <summary>Returns the batches of the next call.</summary>
        public async Task<IEnumerable<int>> NextAsync() => await _begun.Reader.ReadAsync().AsTask().WaitAsync(Deadline);

        public BatchInCall[] Lent(int first) => _calls[first].Lent;

        public void Answer(int first) => AnswerWith(first, Array.ConvertAll(_calls[first].Numbers, number => ResultOf(number)));

        public void AnswerWith(int first, params ProduceResult[] results) => _calls[first].Answer.SetResult(results);

        public void Fail(int first, Exception exception) => _calls[first].Answer.SetException(exception);

        private static int NumberOf(BatchInCall batch)
        {
            var number = -1;
            batch.Read(ref number, static (ref int number, ReadOnlySpan<byte> bytes) =>
                number = BinaryPrimitives.ReadInt32LittleEndian(bytes));
            return number;
        }
    }
}
