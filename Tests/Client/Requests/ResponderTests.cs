using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Requests;

/// <summary>The responder's side of requests: what is answered, what is dropped, and when a request is done.</summary>
public sealed class ResponderTests : IAsyncLifetime
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    private RequestFixture _fixture = null!;

    public async Task InitializeAsync() => _fixture = await RequestFixture.StartAsync();

    public async Task DisposeAsync() => await _fixture.DisposeAsync();

    // What a request that is done too early says cannot be what the broker answers after that.
    [Theory]
    [InlineData(ErrorCode.None, RequestOutcome.Answered)]
    [InlineData(ErrorCode.TopicAuthorizationFailed, RequestOutcome.Unanswered)]
    public async Task Request_is_done_when_its_reply_is_acknowledged_and_not_before(ErrorCode acknowledgement, RequestOutcome outcome)
    {
        var (reached, free) = (new TaskCompletionSource(), new TaskCompletionSource());
        _fixture.Faults.BeforeProduce = partition =>
        {
            if (partition.Topic != "prices-replies")
                return Task.CompletedTask;
            reached.TrySetResult();
            return free.Task;
        };
        await using var requester = _fixture.CreateRequester();
        await using var responder = _fixture.Client.CreateResponder<string>();
        var asking = requester.RequestAsync("k", "v");
        var request = await _fixture.NextAsync();
        var answering = responder.AnswerAsync(request.Headers, static _ => new("reply")).AsTask();
        await reached.Task.SoonAsync();
        var wasDone = answering.IsCompleted;
        // The broker decides now.
        if (acknowledgement != ErrorCode.None)
            _fixture.Faults.OnProduce = partition => partition.Topic == "prices-replies" ? new ProduceResult(acknowledgement, -1) : null;
        free.SetResult();
        Assert.False(wasDone);
        Assert.Equal(outcome, await answering.SoonAsync());
        if (outcome == RequestOutcome.Answered)
            Assert.Equal("reply", await asking.SoonAsync());
        Assert.Equal(outcome == RequestOutcome.Answered ? new ResponderStatistics(1, 0, 0, 0, 0) : new(0, 0, 0, 0, 1),
            responder.Statistics);
    }

    [Fact]
    public async Task Handler_that_throws_answers_with_its_error()
    {
        await using var requester = _fixture.CreateRequester();
        await using var responder = _fixture.Client.CreateResponder<string>();
        var asking = requester.RequestAsync("k", "v");
        Assert.Equal(RequestOutcome.Failed, await responder.AnswerAsync((await _fixture.NextAsync()).Headers,
            static _ => throw new InvalidOperationException("no such fruit")).SoonAsync());
        var failure = await Assert.ThrowsAsync<RequestFailedException>(() => asking.SoonAsync());
        Assert.Equal((RequestFailure.Handler, "System.InvalidOperationException"), (failure.Failure, failure.ErrorType));
        Assert.Equal("The responder of 'prices' failed: no such fruit", failure.Message);
        Assert.Equal(1, responder.Statistics.Failed);
    }

    [Fact]
    public async Task Null_is_a_reply()
    {
        await using var requester = _fixture.CreateRequester();
        await using var responder = _fixture.Client.CreateResponder<string?>();
        var asking = requester.RequestAsync("k", "v");
        await responder.AnswerAsync((await _fixture.NextAsync()).Headers, static _ => new((string?)null)).SoonAsync();
        Assert.Null(await asking.SoonAsync());
    }

    [Fact]
    public async Task Request_past_its_deadline_is_dropped_and_not_handled()
    {
        await using var requester = _fixture.CreateRequester(Limit);
        await using var responder = _fixture.Client.CreateResponder<string>();
        var asking = requester.RequestAsync("k", "v");
        var request = await _fixture.NextAsync();
        _fixture.Clock.Advance(Limit);
        await Assert.ThrowsAsync<TimeoutException>(() => asking.SoonAsync());
        var handled = 0;
        Assert.Equal(RequestOutcome.Expired, await responder.AnswerAsync(request.Headers, _ =>
        {
            handled++;
            return new("reply");
        }).SoonAsync());
        Assert.Equal(0, handled);
        Assert.Equal(1, responder.Statistics.Expired);
        Assert.Equal(0, (await _fixture.Other.Admin.DescribeTopicAsync("prices-replies")).Partitions[0].HighWatermark);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Handler_is_cancelled_at_the_deadline_and_sends_no_reply(bool throwsAnother)
    {
        await using var requester = _fixture.CreateRequester(Limit);
        await using var responder = _fixture.Client.CreateResponder<string>();
        var asking = requester.RequestAsync("k", "v");
        var answering = responder.AnswerAsync((await _fixture.NextAsync()).Headers, async stopping =>
        {
            var stopped = new TaskCompletionSource();
            await using var registration = stopping.Register(stopped.SetResult);
            await stopped.Task;
            return throwsAnother ? throw new InvalidOperationException("not in time") : "reply";
        }).AsTask();
        _fixture.Clock.Advance(Limit);
        Assert.Equal(RequestOutcome.Late, await answering.SoonAsync());
        await Assert.ThrowsAsync<TimeoutException>(() => asking.SoonAsync());
        Assert.Equal(0, (await _fixture.Other.Admin.DescribeTopicAsync("prices-replies")).Partitions[0].HighWatermark);
        Assert.Equal(1, responder.Statistics.Late);
    }

    [Fact]
    public async Task Responder_that_is_stopped_leaves_the_request_unanswered_for_another()
    {
        await using var requester = _fixture.CreateRequester();
        await using var responder = _fixture.Client.CreateResponder<string>();
        var asking = requester.RequestAsync("k", "v");
        var request = await _fixture.NextAsync();
        using var stop = new CancellationTokenSource();
        var answering = responder.AnswerAsync(request.Headers, async stopping =>
        {
            await Task.Delay(Timeout.Infinite, stopping);
            return "";
        }, stop.Token).AsTask();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => answering.SoonAsync());
        Assert.Equal(RequestOutcome.Answered, await responder.AnswerAsync(request.Headers, static _ => new("the other's")).SoonAsync());
        Assert.Equal("the other's", await asking.SoonAsync());
    }

    [Fact]
    public async Task Request_that_comes_twice_is_handled_twice_and_answered_once_for_its_caller()
    {
        await using var requester = _fixture.CreateRequester();
        await using var responder = _fixture.Client.CreateResponder<string>();
        var asking = requester.RequestAsync("k", "v");
        var request = await _fixture.NextAsync();
        var handled = 0;
        for (var delivery = 0; delivery < 2; delivery++)
            await responder.AnswerAsync(request.Headers, _ => new($"run {++handled}")).SoonAsync();
        Assert.Equal("run 1", await asking.SoonAsync());
        await Wait.UntilAsync(() => requester.Statistics.Ignored == 1, "the second reply is read");
    }

    [Fact]
    public async Task Reply_that_its_topic_refuses_is_counted_and_the_request_is_done()
    {
        await using var responder = _fixture.Client.CreateResponder<string>();
        Assert.Equal(RequestOutcome.Unanswered, await responder.AnswerAsync(
            [RecordHeaders.Text(RequestHeaders.ReplyTo, "gone"), RecordHeaders.Text(RequestHeaders.CorrelationId, "1")],
            static _ => new("reply")).SoonAsync());
        Assert.Equal(1, responder.Statistics.Unanswered);
    }

    [Fact]
    public async Task Reply_to_a_partition_that_was_added_since_the_last_one_is_sent()
    {
        await using var responder = _fixture.Client.CreateResponder<string>();
        Assert.Equal(RequestOutcome.Answered, await AnswerAsync(responder, partition: 0).SoonAsync());
        await _fixture.Other.Admin.AddPartitionsAsync("prices-replies", 2);
        Assert.Equal(RequestOutcome.Answered, await AnswerAsync(responder, partition: 1).SoonAsync());
        Assert.Equal([1, 1], (await _fixture.Other.Admin.DescribeTopicAsync("prices-replies")).Partitions
            .Select(static partition => partition.HighWatermark));
        // One that the topic does not have is none that was added.
        Assert.Equal(RequestOutcome.Unanswered, await AnswerAsync(responder, partition: 2).SoonAsync());
    }

    [Theory]
    [InlineData(ErrorCode.UnknownTopicOrPartition)]
    [InlineData(ErrorCode.PolicyViolation)]
    [InlineData(ErrorCode.UnknownServerError)]
    public async Task Reply_that_is_refused_for_a_moment_is_sent_again_and_the_request_is_not_handled_again(ErrorCode refusal)
    {
        var client = new OrleansMqClient(_fixture.Faults, new()
        {
            Producer = new() { TimeProvider = _fixture.Clock, RetryBackoff = TimeSpan.FromMilliseconds(1) },
        });
        await using var responder = client.CreateResponder<string>();
        var (attempts, handled) = (0, 0);
        _fixture.Faults.OnProduce = _ => Interlocked.Increment(ref attempts) <= 2 ? ProduceResult.Failed(refusal, "for a moment") : null;
        var answering = AnswerAsync(responder, partition: 0, () => handled++).AsTask();
        await Wait.UntilAsync(() => { _fixture.Clock.Advance(TimeSpan.FromMilliseconds(1)); return answering.IsCompleted; }, "the reply");
        Assert.Equal(RequestOutcome.Answered, await answering);
        Assert.Equal((3, 1), (attempts, handled));
        Assert.Equal(new ResponderStatistics(1, 0, 0, 0, 0), responder.Statistics);
    }

    [Fact]
    public async Task Reply_that_its_topic_never_takes_is_sent_once()
    {
        await using var responder = _fixture.Client.CreateResponder<string>();
        var attempts = 0;
        _fixture.Faults.OnProduce = _ =>
        {
            attempts++;
            return ProduceResult.Failed(ErrorCode.InvalidRecord, "no key");
        };
        Assert.Equal(RequestOutcome.Unanswered, await AnswerAsync(responder, partition: 0).SoonAsync());
        Assert.Equal(1, attempts);
    }

    [Fact]
    public async Task Reply_that_is_too_large_is_answered_with_that_error()
    {
        await using var requester = _fixture.CreateRequester();
        await using var responder = _fixture.Client.CreateResponder<string>();
        var asking = requester.RequestAsync("k", "v");
        Assert.Equal(RequestOutcome.Failed, await responder.AnswerAsync((await _fixture.NextAsync()).Headers,
            static _ => new(new string('x', 2_000_000))).SoonAsync());
        var failure = await Assert.ThrowsAsync<RequestFailedException>(() => asking.SoonAsync());
        Assert.Equal(typeof(ProduceException).FullName, failure.ErrorType);
    }

    [Fact]
    public async Task Record_that_asks_for_no_reply_is_handled_and_its_failure_passes_through()
    {
        await using var responder = _fixture.Client.CreateResponder<string>();
        Assert.Equal(RequestOutcome.NotAsked, await responder.AnswerAsync([], static _ => new("")).SoonAsync());
        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            responder.AnswerAsync([], static _ => throw new InvalidOperationException("no")).SoonAsync());
        Assert.Equal(default, responder.Statistics);
    }

    [Fact]
    public async Task Request_of_another_client_may_lack_deadline_partition_and_id()
    {
        await using var responder = _fixture.Client.CreateResponder<string>();
        Assert.Equal(RequestOutcome.Answered, await responder.AnswerAsync(
        [
            RecordHeaders.Text(RequestHeaders.ReplyTo, "prices-replies"),
            RecordHeaders.Text(RequestHeaders.Deadline, "soon"),
            RecordHeaders.Text(RequestHeaders.ReplyPartition, "-1"),
        ], static _ => new("reply")).SoonAsync());
        await using var replies = _fixture.Other.CreatePartitionReader<string?, string>();
        replies.Assign(RequestFixture.Replies, ReadFrom.Earliest);
        Assert.Equal((null, "reply"), ((await replies.ReadAsync().SoonAsync()) is var reply ? (reply.Key, reply.Value) : default));
    }

    private static ValueTask<RequestOutcome> AnswerAsync(IResponder<string> responder, int partition, Action? handled = null) =>
        responder.AnswerAsync([RecordHeaders.Text(RequestHeaders.ReplyTo, "prices-replies"),
            RecordHeaders.Text(RequestHeaders.ReplyPartition, $"{partition}")], _ =>
        {
            handled?.Invoke();
            return new("reply");
        });
}
