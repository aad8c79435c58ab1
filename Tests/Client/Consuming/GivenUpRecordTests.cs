using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>Records that a handler gives up by <see cref="MessageContext{TKey, TValue}.DeadLetterAsync"/>.</summary>
public sealed class GivenUpRecordTests : ConsumerFixture
{
    private readonly TaskCompletionSource _writing = new();
    private readonly TaskCompletionSource _mayWrite = new();

    private static MessageHandlingOptions Handling { get; } = new()
    {
        Topics = [Topic],
        OnFailure = FailureAction.Skip,
        Retry = new() { MaxAttempts = 2, Backoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(1) },
    };

    private MessageProcessor<string, string> Start(Func<MessageContext<string, string>, CancellationToken, ValueTask> handle,
        MessageHandlingOptions? handling = null)
    {
        Groups.FirstAssignment = [All(0)];
        var processor = Client.CreateContextProcessor(Options(), handling ?? Handling, handle, null, null);
        processor.Start();
        return processor;
    }

    /// <summary>Holds dead letters back until <see cref="_mayWrite"/>.</summary>
    private void HoldLetters() => Broker.BeforeProduce = partition =>
    {
        if (partition.Topic == Topic)
            return Task.CompletedTask;
        _writing.TrySetResult();
        return _mayWrite.Task;
    };

    private async Task<long> LettersAsync()
    {
        var count = 0L;
        foreach (var partition in await Client.Admin.ListPartitionsAsync(Topic + ".dead-letter"))
            count += await Client.Admin.FindOffsetAsync(partition, ReadFrom.Latest);
        return count;
    }

    [Theory]
    [InlineData("each attempt")]
    [InlineData("first attempt only")]
    [InlineData("caught")]
    [InlineData("not awaited")]
    [InlineData("not transient")]
    [InlineData("without acknowledgements")]
    public async Task Skip_discards_no_record_whose_dead_letter_failed(string way)
    {
        await SendAsync(0, "good", "bad", "later");
        Broker.OnProduce = partition => partition.Topic == Topic
            ? null : ProduceResult.Failed(ErrorCode.InvalidRecord, "no dead letters today");
        var handling = way switch
        {
            "not transient" => Handling with { Retry = Handling.Retry with { IsTransient = _ => false } },
            "without acknowledgements" => Handling with { DeadLetterProducer = new() { Acks = Acks.None } },
            _ => Handling,
        };
        await using var processor = Start(async (message, token) =>
        {
            if (message.Value != "bad")
                return;
            if (way == "first attempt only" && message.Attempt == 2 && Broker.OnProduce is not null)
                throw new TimeoutException("no ledger");
            var letter = message.DeadLetterAsync("bad", token);
            if (way == "not awaited")
                return;
            await letter.ConfigureAwait(way == "caught" ? ConfigureAwaitOptions.SuppressThrowing : ConfigureAwaitOptions.None);
        }, handling);

        await Wait.UntilAsync(() => !processor.Stopped.IsEmpty() || processor.Statistics is { Skipped: > 0 } or { Handled: 3 },
            "the outcome");
        Assert.Equal([P(0)], processor.Stopped.Keys);
        await processor.Consumer.CommitAsync().SoonAsync();
        Assert.Equal(1, Groups.Committed(P(0)));
        if (way == "without acknowledgements")
            return;

        Broker.OnProduce = null;
        processor.Resume(P(0));
        await Wait.UntilAsync(() => processor.Statistics.Handled == 3, "it goes on with the record that stopped it");
        Assert.Equal(1, await LettersAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Dead_letter_that_the_handler_waits_for_no_longer_is_written_once(bool isCancelled)
    {
        await SendAsync(0, "bad", "later");
        HoldLetters();
        var threw = new TaskCompletionSource();
        await using (var processor = Start(async (message, _) =>
        {
            if (message.Value != "bad")
                return;
            using var patience = new CancellationTokenSource();
            var letter = message.DeadLetterAsync("bad", patience.Token);
            await _writing.Task;
            if (isCancelled)
                await patience.CancelAsync();
            threw.TrySetResult();
            if (isCancelled)
                await letter;
            throw new TimeoutException("the dead letter takes too long");
        }))
        {
            await threw.Task.SoonAsync();
            _mayWrite.SetResult();
            await Wait.UntilAsync(() => processor.Statistics.Handled == 2, "both records");
            Assert.Equal((0, 1), (processor.Statistics.Retries, processor.Statistics.DeadLettered));
        }
        Assert.Equal(1, await LettersAsync());
        Assert.Equal(2, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Concurrent_calls_write_one_dead_letter()
    {
        await SendAsync(0, "bad");
        HoldLetters();
        await using (var processor = Start(async (message, token) =>
        {
            var first = message.DeadLetterAsync("one", token);
            await _writing.Task;
            var second = message.DeadLetterAsync("two", token);
            _mayWrite.SetResult();
            await Task.WhenAll(first, second);
            Assert.Equal("one", message.DeadLetterReason);
        }))
            await Wait.UntilAsync(() => processor.Statistics.Handled == 1, "the record");
        Assert.Equal(1, await LettersAsync());
    }

    [Fact]
    public async Task Attempt_that_has_ended_takes_no_dead_letter()
    {
        await SendAsync(0, "a");
        MessageContext<string, string>? ended = null;
        await using var processor = Start((message, _) => { ended = message; return default; });
        await Wait.UntilAsync(() => processor.Statistics.Handled == 1, "the record");
        await Assert.ThrowsAsync<InvalidOperationException>(() => ended!.DeadLetterAsync("too late").SoonAsync());
    }
}
