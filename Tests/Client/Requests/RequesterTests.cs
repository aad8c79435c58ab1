using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Requests;

/// <summary>The caller's side of requests: which reply it receives, and how a request without one ends.</summary>
public sealed class RequesterTests : IAsyncLifetime
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    private RequestFixture _fixture = null!;

    public async Task InitializeAsync() => _fixture = await RequestFixture.StartAsync();

    public async Task DisposeAsync() => await _fixture.DisposeAsync();

    [Fact]
    public async Task Request_says_where_its_reply_goes_and_until_when()
    {
        await using var requester = _fixture.CreateRequester();
        var until = _fixture.Clock.GetUtcNow() + TimeSpan.FromSeconds(7);
        var asking = requester.RequestAsync("apple", "EUR", TimeSpan.FromSeconds(7));
        var request = await _fixture.NextAsync();
        Assert.Equal(("apple", "EUR"), (request.Key, request.Value));
        Assert.Equal("prices-replies", RequestFixture.HeaderOf(request, RequestHeaders.ReplyTo));
        Assert.Equal("0", RequestFixture.HeaderOf(request, RequestHeaders.ReplyPartition));
        Assert.Equal($"{until.ToUnixTimeMilliseconds()}", RequestFixture.HeaderOf(request, RequestHeaders.Deadline));
        await _fixture.ReplyAsync(request, "2.50");
        Assert.Equal("2.50", await asking.SoonAsync());
        Assert.Equal(new RequesterStatistics(1, 0, 0, 0), requester.Statistics);
    }

    [Fact]
    public async Task Requesters_that_share_a_partition_of_replies_receive_their_own_in_any_order()
    {
        await using var first = _fixture.CreateRequester();
        await using var second = _fixture.CreateRequester();
        var asking = Enumerable.Range(0, 20).Select(number => (number % 2 == 0 ? first : second).RequestAsync("k", $"{number}")).ToArray();
        var requests = new List<ConsumeResult<string, string>>();
        while (requests.Count < asking.Length)
            requests.Add(await _fixture.NextAsync());
        foreach (var request in requests.AsEnumerable().Reverse())
            await _fixture.ReplyAsync(request, $"reply to {request.Value}");
        Assert.Equal(Enumerable.Range(0, 20).Select(static number => $"reply to {number}"), await Task.WhenAll(asking).SoonAsync());
        Assert.Equal(new RequesterStatistics(10, 0, 0, 0), first.Statistics);
        Assert.Equal(new RequesterStatistics(10, 0, 0, 0), second.Statistics);
    }

    [Fact]
    public async Task Request_is_sent_when_the_end_of_the_replies_is_known_and_not_before()
    {
        var (asked, known) = (new TaskCompletionSource(), new TaskCompletionSource());
        _fixture.Faults.BeforeFindOffset = _ =>
        {
            asked.TrySetResult();
            return known.Task;
        };
        var produced = 0;
        _fixture.Faults.BeforeProduce = _ =>
        {
            Assert.True(known.Task.IsCompleted);
            Interlocked.Increment(ref produced);
            return Task.CompletedTask;
        };
        await using var requester = _fixture.CreateRequester(Limit);
        var early = requester.RequestAsync("k", "early");
        await asked.Task.SoonAsync();
        _fixture.Clock.Advance(Limit);
        var late = await Assert.ThrowsAsync<TimeoutException>(() => early.SoonAsync());
        Assert.Contains("'prices-replies' was not known in time, and the request was not sent", late.Message, StringComparison.Ordinal);
        Assert.Equal(0, produced);
        known.SetResult();
        var asking = requester.RequestAsync("k", "now");
        var request = await _fixture.NextAsync();
        Assert.Equal("now", request.Value);
        await _fixture.ReplyAsync(request, "yes");
        Assert.Equal("yes", await asking.SoonAsync());
    }

    [Fact]
    public async Task Request_without_a_reply_times_out_at_its_deadline_and_the_late_reply_is_ignored()
    {
        await using var requester = _fixture.CreateRequester(Limit);
        var asking = requester.RequestAsync("k", "slow");
        var request = await _fixture.NextAsync();
        _fixture.Clock.Advance(Limit - TimeSpan.FromMilliseconds(1));
        Assert.False(asking.IsCompleted);
        _fixture.Clock.Advance(TimeSpan.FromMilliseconds(1));
        var failure = await Assert.ThrowsAsync<TimeoutException>(() => asking.SoonAsync());
        Assert.StartsWith("No reply from 'prices' within 00:00:10: ", failure.Message, StringComparison.Ordinal);
        await _fixture.ReplyAsync(request, "too late");
        await Wait.UntilAsync(() => requester.Statistics.Ignored == 1, "the late reply is read");
        Assert.Equal(new RequesterStatistics(0, 1, 1, 0), requester.Statistics);
        var next = requester.RequestAsync("k", "quick");
        await _fixture.ReplyAsync(await _fixture.NextAsync(), "in time");
        Assert.Equal("in time", await next.SoonAsync());
    }

    [Fact]
    public async Task Second_reply_is_ignored()
    {
        await using var requester = _fixture.CreateRequester();
        var asking = requester.RequestAsync("k", "twice");
        var request = await _fixture.NextAsync();
        await _fixture.ReplyAsync(request, "first");
        await _fixture.ReplyAsync(request, "second");
        Assert.Equal("first", await asking.SoonAsync());
        await Wait.UntilAsync(() => requester.Statistics.Ignored == 1, "the second reply is read");
    }

    [Fact]
    public async Task Reply_counts_although_the_acknowledgement_of_the_request_is_still_away()
    {
        var acknowledged = new TaskCompletionSource();
        _fixture.Faults.AfterProduce = partition => partition.Topic == "prices" ? acknowledged.Task : Task.CompletedTask;
        await using var requester = _fixture.CreateRequester();
        var asking = requester.RequestAsync("k", "v");
        await _fixture.ReplyAsync(await _fixture.NextAsync(), "early");
        Assert.Equal("early", await asking.SoonAsync());
        acknowledged.SetResult();
    }

    [Fact]
    public async Task Cancelled_request_waits_no_more()
    {
        await using var requester = _fixture.CreateRequester();
        using var cancel = new CancellationTokenSource();
        var asking = requester.RequestAsync("k", "v", cancellationToken: cancel.Token);
        await _fixture.NextAsync();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking.SoonAsync());
        Assert.Equal(new RequesterStatistics(0, 0, 0, 0), requester.Statistics);
    }

    [Fact]
    public async Task Requests_fail_when_their_requester_is_disposed()
    {
        var requester = _fixture.CreateRequester();
        var asking = requester.RequestAsync("k", "v");
        await _fixture.NextAsync();
        await requester.DisposeAsync().SoonAsync();
        var failure = await Assert.ThrowsAsync<ObjectDisposedException>(() => asking.SoonAsync());
        Assert.Contains("'prices' was disposed while the request waited", failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => requester.RequestAsync("k", "v"));
    }

    [Fact]
    public async Task Reply_that_cannot_be_deserialized_fails_its_request_alone()
    {
        await using var requester = _fixture.CreateRequester<int>();
        var asking = requester.RequestAsync("k", "v");
        await _fixture.ReplyAsync(await _fixture.NextAsync(), "no number");
        var failure = await Assert.ThrowsAsync<RequestFailedException>(() => asking.SoonAsync());
        Assert.Equal(RequestFailure.Reply, failure.Failure);
        Assert.Contains("at prices-replies-0, offset 0, cannot be deserialized as System.Int32", failure.Message, StringComparison.Ordinal);
        var next = requester.RequestAsync("k", "v");
        await _fixture.ReplyAsync(await _fixture.NextAsync(), "\0\0\0\u0007");
        Assert.Equal(7, await next.SoonAsync());
    }

    [Fact]
    public async Task Requests_fail_when_the_reply_topic_is_deleted_and_go_on_when_it_is_there_again()
    {
        await using var requester = _fixture.CreateRequester();
        var asking = requester.RequestAsync("k", "v");
        await _fixture.NextAsync();
        await _fixture.Other.Admin.DeleteTopicAsync("prices-replies");
        var failure = await Assert.ThrowsAsync<RequestFailedException>(() => asking.SoonAsync());
        Assert.Equal(RequestFailure.Replies, failure.Failure);
        Assert.Contains("'prices-replies' does not exist. Create it", failure.Message, StringComparison.Ordinal);
        Assert.Equal(failure.Message, (await Assert.ThrowsAsync<RequestFailedException>(() => requester.RequestAsync("k", "v"))).Message);
        await _fixture.Other.Admin.CreateTopicAsync("prices-replies", 1);
        var next = requester.RequestAsync("k", "again");
        await _fixture.ReplyAsync(await _fixture.NextAsync(), "here");
        Assert.Equal("here", await next.SoonAsync());
    }

    [Fact]
    public async Task Reply_topic_that_is_created_again_is_noticed_where_no_fetch_fails()
    {
        // A fetch that hangs, as on a broker that has not heard of the deletion.
        var hangs = true;
        _fixture.Faults.OnFetch = async (request, cancellationToken) =>
        {
            if (hangs)
                await Task.Delay(Timeout.Infinite, cancellationToken);
            return await _fixture.Other.Broker.FetchAsync(request, cancellationToken);
        };
        await using var requester = _fixture.CreateRequester(TimeSpan.FromMinutes(1));
        var asking = requester.RequestAsync("k", "v");
        await _fixture.NextAsync();
        await _fixture.Other.Admin.DeleteTopicAsync("prices-replies");
        await _fixture.Other.Admin.CreateTopicAsync("prices-replies", 1);
        await Wait.UntilAsync(() => _fixture.Clock.ArmedTimers.Contains(TimeSpan.FromSeconds(5)), "the look at the topic is due");
        hangs = false;
        _fixture.Clock.Advance(TimeSpan.FromSeconds(5));
        var failure = await Assert.ThrowsAsync<RequestFailedException>(() => asking.SoonAsync());
        Assert.Contains("was deleted and created again", failure.Message, StringComparison.Ordinal);
        var next = requester.RequestAsync("k", "again");
        await _fixture.ReplyAsync(await _fixture.NextAsync(), "here");
        Assert.Equal("here", await next.SoonAsync());
    }

    [Fact]
    public async Task Replies_are_read_on_where_they_were_while_their_partition_is_unavailable()
    {
        var failures = 0;
        _fixture.Faults.OnFetch = (request, cancellationToken) => failures is > 0 and < 3
            ? ValueTask.FromResult(FetchResult.Failed(failures++ == 1 ? ErrorCode.NotLeaderOrFollower
                : ErrorCode.UnknownTopicOrPartition, "as told"))
            : _fixture.Other.Broker.FetchAsync(request, cancellationToken);
        await using var requester = _fixture.CreateRequester();
        var first = requester.RequestAsync("k", "v");
        var request = await _fixture.NextAsync();
        failures = 1;
        await _fixture.ReplyAsync(request, "through a failover");
        var advancing = AdvanceUntilAsync(first);
        Assert.Equal("through a failover", await first.SoonAsync());
        await advancing;
    }

    [Fact]
    public async Task Request_that_is_refused_fails_with_the_reason()
    {
        await _fixture.Other.Admin.DeleteTopicAsync("prices");
        await using var requester = _fixture.CreateRequester();
        var failure = await Assert.ThrowsAsync<ProduceException>(() => requester.RequestAsync("k", "v").SoonAsync());
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, failure.Code);
        Assert.Equal(0, requester.Statistics.Waiting);
    }

    [Fact]
    public async Task Reply_partition_that_does_not_exist_is_named()
    {
        await using var requester = _fixture.Client.CreateRequester<string, string, string>(new()
        {
            Topic = "prices",
            ReplyTopic = "prices-replies",
            ReplyPartition = 3,
        });
        var failure = await Assert.ThrowsAsync<RequestFailedException>(() => requester.RequestAsync("k", "v").SoonAsync());
        Assert.Contains("has 1 partitions, and RequesterOptions.ReplyPartition is 3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Options_out_of_range_are_named()
    {
        var options = new RequesterOptions { Topic = "prices", ReplyTopic = "prices-replies" };
        Refused(options with { Topic = "" }, "Topic is not empty");
        Refused(options with { ReplyTopic = "prices" }, "ReplyTopic is another topic than Topic");
        Refused(options with { ReplyPartition = -1 }, "ReplyPartition is null, or 0 or above");
        Refused(options with { Timeout = TimeSpan.Zero }, "Timeout is above zero and at most a day");
        Refused(options with { Producer = new() { Acks = Acks.None } }, "Producer waits for an acknowledgement");
        await using var requester = _fixture.CreateRequester();
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => requester.RequestAsync("k", "v", TimeSpan.FromDays(2)));

        void Refused(RequesterOptions wrong, string rule) => Assert.Contains($"RequesterOptions.{rule}", Assert.Throws<ArgumentException>(
            () => _fixture.Client.CreateRequester<string, string, string>(wrong)).Message, StringComparison.Ordinal);
    }

    /// <summary>Moves the clock while reading backs off, and no deadline is near.</summary>
    private async Task AdvanceUntilAsync(Task done)
    {
        while (!done.IsCompleted)
        {
            if (_fixture.Clock.ArmedTimers is [var next, ..] && next < TimeSpan.FromMilliseconds(300))
                _fixture.Clock.Advance(next);
            await Task.Delay(1);
        }
    }
}
