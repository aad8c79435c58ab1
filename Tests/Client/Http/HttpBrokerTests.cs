using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Http;

/// <summary>The broker over HTTP, against responses that no real broker gives.</summary>
public sealed class HttpBrokerTests : IDisposable
{
    private static readonly TopicPartition Partition = new("a b/c", 3);

    private readonly ScriptedHandler _handler = new();
    private readonly HttpClient _http;
    private readonly ManualTimeProvider _clock = new();
    private readonly HttpBroker _broker;

    public HttpBrokerTests()
    {
        _http = new HttpClient(_handler);
        _broker = new HttpBroker(_http, new Uri("http://broker/prefix"), new HttpBrokerOptions { TimeProvider = _clock });
    }

    public void Dispose()
    {
        _broker.Dispose();
        _http.Dispose();
        _handler.Dispose();
    }

    [Fact]
    public async Task Paths_stay_below_the_base_address_and_names_are_escaped()
    {
        _handler.Answer = async (request, _) =>
        {
            Assert.Equal([1, 2, 3], await request.Content!.ReadAsByteArrayAsync());
            Assert.Equal(HttpContract.RecordBatchMediaType, request.Content.Headers.ContentType!.MediaType);
            return Json("""{"baseOffset":7,"logAppendTime":-1,"logStartOffset":2}""");
        };

        var result = await _broker.ProduceAsync(Partition, new byte[] { 1, 2, 3 }, Acks.Leader);

        Assert.Equal(new ProduceResult(ErrorCode.None, 7, -1, 2), result);
        Assert.Equal("http://broker/prefix/api/topics/a%20b%2Fc/partitions/3/batches?acks=1", _handler.LastUri!.AbsoluteUri);
    }

    [Fact]
    public async Task Batches_of_one_partition_are_sent_one_by_one_in_call_order()
    {
        var arrived = new ConcurrentQueue<byte>();
        var answers = new ConcurrentDictionary<byte, TaskCompletionSource<HttpResponseMessage>>();
        for (byte i = 1; i <= 5; i++)
            answers[i] = new TaskCompletionSource<HttpResponseMessage>(TaskCreationOptions.RunContinuationsAsynchronously);
        _handler.Answer = async (request, _) =>
        {
            var batch = (await request.Content!.ReadAsByteArrayAsync())[0];
            arrived.Enqueue(batch);
            return await answers[batch].Task;
        };

        var calls = new List<Task<ProduceResult>>();
        for (byte i = 1; i <= 4; i++)
            calls.Add(_broker.ProduceAsync(Partition, new[] { i }, Acks.All).AsTask());
        calls.Add(_broker.ProduceAsync(new TopicPartition("a b/c", 9), new byte[] { 5 }, Acks.All).AsTask());

        Assert.Equal(new byte[] { 1, 5 }, arrived); // The other partition does not wait for this one.
        for (byte i = 1; i <= 5; i++)
        {
            var before = arrived.Count;
            answers[i].SetResult(Json("""{"baseOffset":7}"""));
            await calls[i - 1].SoonAsync();
            if (i <= 3)
                await Wait.UntilAsync(() => arrived.Count > before, "the next batch");
        }
        Assert.Equal(new byte[] { 1, 5, 2, 3, 4 }, arrived);
    }

    [Fact]
    public async Task Problem_response_maps_to_its_error_code()
    {
        _handler.Answer = (_, _) =>
            Task.FromResult(Problem(HttpStatusCode.Conflict, """{"detail":"there is one","code":"TopicAlreadyExists","errorCode":36}"""));

        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _broker.CreateTopicAsync(new NewTopic("t")));
        var produced = await _broker.ProduceAsync(Partition, new byte[1], Acks.All);

        Assert.Equal((ErrorCode.TopicAlreadyExists, "there is one", ErrorAction.Abort), (refused.Code, refused.Message, refused.Action));
        Assert.Equal((ErrorCode.TopicAlreadyExists, "there is one"), (produced.Error, produced.Message));
    }

    [Fact]
    public async Task Error_code_unknown_by_number_is_found_by_name_or_unknown()
    {
        _handler.Answer = (_, _) =>
            Task.FromResult(Problem(HttpStatusCode.BadRequest, """{"title":"x","code":"InvalidTopic","errorCode":31000}"""));
        Assert.Equal(ErrorCode.InvalidTopic, (await _broker.FindOffsetAsync(Partition, OffsetSpec.Latest)).Error);

        _handler.Answer = (_, _) =>
            Task.FromResult(Problem(HttpStatusCode.BadRequest, """{"title":"x","code":"FromTheFuture","errorCode":31000}"""));
        Assert.Equal(ErrorCode.UnknownServerError, (await _broker.FindOffsetAsync(Partition, OffsetSpec.Latest)).Error);
    }

    [Fact]
    public async Task Proxy_error_leaves_the_outcome_unknown()
    {
        _handler.Answer = (_, _) =>
            Task.FromResult(new HttpResponseMessage(HttpStatusCode.BadGateway) { Content = new StringContent("<html>") });

        Assert.Equal(ErrorCode.RequestTimedOut, (await _broker.ProduceAsync(Partition, new byte[1], Acks.All)).Error);
        await Assert.ThrowsAsync<BrokerUnreachableException>(async () => await _broker.ListTopicsAsync());
    }

    [Fact]
    public async Task Response_that_is_not_from_a_broker_is_reported_as_such()
    {
        _handler.Answer = (_, _) => Task.FromResult(Json("<html>hello</html>"));

        Assert.Contains("Check the address",
            (await Assert.ThrowsAsync<BrokerException>(async () => await _broker.ListTopicsAsync())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connection_broken_before_the_batch_left_is_certain_and_later_is_unknown()
    {
        _handler.Answer = (_, _) => throw new HttpRequestException(HttpRequestError.ConnectionError, "refused");
        var before = await _broker.ProduceAsync(Partition, new byte[1], Acks.All);
        _handler.Answer = async (request, token) =>
        {
            await request.Content!.CopyToAsync(Stream.Null, token);
            throw new HttpRequestException(HttpRequestError.ConnectionError, "reset");
        };
        var after = await _broker.ProduceAsync(Partition, new byte[1], Acks.All);

        Assert.Equal((ErrorCode.LeaderNotAvailable, ErrorCode.RequestTimedOut), (before.Error, after.Error));
    }

    [Fact]
    public async Task Connection_lost_while_connecting_is_an_unreachable_broker()
    {
        _handler.Answer = (_, _) => throw new SocketException((int)SocketError.NotConnected);

        using var fetched = await _broker.FetchAsync(new FetchRequest(Partition, 0, 1));
        Assert.Equal((ErrorCode.LeaderNotAvailable, ErrorAction.Retry), (fetched.Error, fetched.Error.Action()));
        // It is unknown how far a request had got.
        Assert.Equal(ErrorCode.RequestTimedOut, (await _broker.ProduceAsync(Partition, new byte[1], Acks.All)).Error);
        Assert.Equal(ErrorAction.Retry,
            (await Assert.ThrowsAsync<BrokerUnreachableException>(async () => await _broker.ListTopicsAsync())).Code.Action());
    }

    [Fact]
    public async Task Unresponsive_broker_times_out()
    {
        _handler.Answer = async (request, token) =>
        {
            await request.Content!.CopyToAsync(Stream.Null, token);
            await Task.Delay(Timeout.Infinite, token);
            throw new InvalidOperationException("never");
        };

        var call = _broker.ProduceAsync(Partition, new byte[1], Acks.All).AsTask();
        await Wait.UntilAsync(() => _clock.ArmedTimers.Count == 1, "the time limit");
        _clock.Advance(TimeSpan.FromSeconds(30));

        var result = await call.SoonAsync();
        Assert.Equal(ErrorCode.RequestTimedOut, result.Error);
        Assert.Contains("30 s", result.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Call_returns_only_when_its_memory_is_no_longer_read()
    {
        var (reading, gate) = (new TaskCompletionSource(), new TaskCompletionSource());
        Task? copying = null;
        _handler.Answer = async (request, _) =>
        {
            // A handler that responds while the body is still being sent, as with a server that refuses early.
            copying = request.Content!.CopyToAsync(new SlowStream(reading, gate.Task), CancellationToken.None);
            await reading.Task;
            return Problem(HttpStatusCode.RequestEntityTooLarge, """{"code":"MessageTooLarge","errorCode":10}""");
        };

        var call = _broker.ProduceAsync(Partition, new byte[100], Acks.All).AsTask();
        await reading.Task.SoonAsync();
        await Task.WhenAny(call, Task.Delay(20));
        Assert.False(call.IsCompleted);
        gate.SetResult();

        Assert.Equal(ErrorCode.MessageTooLarge, (await call.SoonAsync()).Error);
        await copying!.SoonAsync();
    }

    [Fact]
    public async Task Handler_that_sends_twice_or_late_gets_no_bytes()
    {
        HttpContent? kept = null;
        _handler.Answer = async (request, token) =>
        {
            kept = request.Content!;
            await kept.CopyToAsync(Stream.Null, token);
            await Assert.ThrowsAnyAsync<Exception>(() => kept.CopyToAsync(Stream.Null, token));
            return Json("""{"baseOffset":0}""");
        };

        Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(Partition, new byte[1], Acks.All)).Error);
        await Assert.ThrowsAnyAsync<Exception>(() => kept!.CopyToAsync(Stream.Null));
    }

    [Fact]
    public async Task Batch_handed_over_is_not_cancelled()
    {
        using var cancel = new CancellationTokenSource();
        _handler.Answer = async (_, token) =>
        {
            await cancel.CancelAsync();
            token.ThrowIfCancellationRequested();
            return Json("""{"baseOffset":0}""");
        };

        Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(Partition, new byte[1], Acks.All, cancel.Token)).Error);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            await _broker.ProduceAsync(Partition, new byte[1], Acks.All, cancel.Token));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_returns_the_bytes_with_or_without_known_length(bool knownLength)
    {
        var bytes = new byte[200_000];
        new Random(1).NextBytes(bytes);
        _handler.Answer = (_, _) =>
        {
            var response = new HttpResponseMessage { Content = knownLength ? new ByteArrayContent(bytes)
                : new StreamContent(new SlowStream(bytes)) };
            response.Headers.Add(HttpContract.HighWatermarkHeader, "9");
            response.Headers.Add(HttpContract.LogStartOffsetHeader, "3");
            return Task.FromResult(response);
        };

        using var result = await _broker.FetchAsync(new FetchRequest(Partition, 5, MaxBytes: 77, MaxWait: TimeSpan.FromMilliseconds(250)));

        Assert.True(result.Records.Span.SequenceEqual(bytes));
        Assert.Equal((9, -1, 3), (result.HighWatermark, result.LastStableOffset, result.LogStartOffset));
        Assert.Equal("?offset=5&maxBytes=77&minBytes=1&waitMs=250&isolation=read_uncommitted", _handler.LastUri!.Query);
    }

    [Fact]
    public async Task Cancelled_read_throws_cancellation()
    {
        using var cancel = new CancellationTokenSource();
        _handler.Answer = async (_, token) =>
        {
            await Task.Delay(Timeout.Infinite, token);
            throw new InvalidOperationException("never");
        };

        var call = _broker.FetchAsync(new FetchRequest(Partition, 5), cancel.Token).AsTask();
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.SoonAsync());
    }

    /// <summary>A purge that is sent again must not purge what came meanwhile.</summary>
    [Fact]
    public async Task Purge_names_the_end_of_when_it_was_asked_for_in_each_attempt()
    {
        using var broker = new HttpBroker(_http, [new Uri("http://a"), new Uri("http://b")],
            new HttpBrokerOptions { TimeProvider = _clock });
        var (end, purges) = (4L, new List<string>());
        _handler.Answer = (request, _) =>
        {
            if (request.Method == HttpMethod.Get)
            {
                Assert.Equal("/api/topics/a%20b%2Fc/partitions/3/offsets?at=latest", request.RequestUri!.PathAndQuery);
                return Task.FromResult(Json($$"""{"offset":{{end++}}}"""));
            }
            purges.Add(request.RequestUri!.AbsoluteUri);
            return Task.FromResult(purges.Count == 1
                ? Problem(HttpStatusCode.ServiceUnavailable, """{"code":"LeaderNotAvailable","errorCode":5}""")
                : new HttpResponseMessage(HttpStatusCode.NoContent));
        };

        await broker.Queues.PurgeAsync(Partition, "work");
        await broker.Queues.PurgeAsync(Partition, "work", below: 2);

        Assert.Equal(
        [
            "http://a/api/queues/a%20b%2Fc/3/work/purge?below=4",
            "http://b/api/queues/a%20b%2Fc/3/work/purge?below=4",
            "http://b/api/queues/a%20b%2Fc/3/work/purge?below=2",
        ], purges);
        Assert.Equal(5, end);
    }

    /// <summary>A deletion that is sent again must not delete what came meanwhile.</summary>
    [Fact]
    public async Task Deletion_up_to_the_end_names_the_end_of_when_it_was_asked_for_in_each_attempt()
    {
        using var broker = new HttpBroker(_http, [new Uri("http://a"), new Uri("http://b")],
            new HttpBrokerOptions { TimeProvider = _clock });
        var (end, deletions) = (4L, new List<string>());
        _handler.Answer = async (request, _) =>
        {
            if (request.Method == HttpMethod.Get)
            {
                Assert.Equal("/api/topics/a%20b%2Fc/partitions/3/offsets?at=latest", request.RequestUri!.PathAndQuery);
                return Json($$"""{"offset":{{end++}}}""");
            }
            deletions.Add(request.RequestUri!.Host + await request.Content!.ReadAsStringAsync());
            return deletions.Count == 1
                ? Problem(HttpStatusCode.ServiceUnavailable, """{"code":"LeaderNotAvailable","errorCode":5}""")
                : Json("""{"logStartOffset":4}""");
        };

        Assert.Equal(4, await broker.DeleteRecordsAsync(Partition, -1));
        await broker.DeleteRecordsAsync(Partition, 2);

        Assert.Equal(["""a{"beforeOffset":4}""", """b{"beforeOffset":4}""", """b{"beforeOffset":2}"""], deletions);
        Assert.Equal(5, end);
    }

    [Fact]
    public async Task Deletion_whose_end_is_refused_deletes_nothing()
    {
        var methods = new List<HttpMethod>();
        _handler.Answer = (request, _) =>
        {
            methods.Add(request.Method);
            return Task.FromResult(Problem(HttpStatusCode.Forbidden,
                """{"detail":"not yours","code":"TopicAuthorizationFailed","errorCode":29}"""));
        };

        var refused = await Assert.ThrowsAsync<BrokerException>(() => _broker.DeleteRecordsAsync(Partition, -1).AsTask());

        Assert.Equal((ErrorCode.TopicAuthorizationFailed, "not yours"), (refused.Code, refused.Message));
        Assert.Equal([HttpMethod.Get], methods);
    }

    /// <summary>A request that is sent again must not delete the next queue of the name.</summary>
    [Fact]
    public async Task Deletion_of_a_queue_names_the_id_of_when_it_was_asked_for_in_each_attempt()
    {
        using var broker = new HttpBroker(_http, [new Uri("http://a"), new Uri("http://b")],
            new HttpBrokerOptions { TimeProvider = _clock });
        var (id, deletions) = (Guid.Parse("0190f5b2-7c41-7d11-9f35-1d2a6f2b8c90"), new List<string>());
        _handler.Answer = (request, _) =>
        {
            if (request.Method == HttpMethod.Get)
            {
                return Task.FromResult(Json($$"""
                    {"topic":"a b/c","partition":3,"name":"work","id":"{{id}}","options":{},"floor":0,"unsettled":0,"held":0,
                    "consumers":0,"accepted":0,"rejected":0,"purged":0}
                    """));
            }
            deletions.Add(request.RequestUri!.AbsoluteUri);
            return Task.FromResult(deletions.Count == 1
                ? Problem(HttpStatusCode.ServiceUnavailable, """{"code":"LeaderNotAvailable","errorCode":5}""")
                : new HttpResponseMessage(HttpStatusCode.NoContent));
        };

        await broker.Queues.DeleteAsync(Partition, "work");

        Assert.Equal(
        [
            $"http://a/api/queues/a%20b%2Fc/3/work?id={id}",
            $"http://b/api/queues/a%20b%2Fc/3/work?id={id}",
        ], deletions);
    }

    [Fact]
    public async Task Purge_whose_end_is_refused_purges_nothing()
    {
        var methods = new List<HttpMethod>();
        _handler.Answer = (request, _) =>
        {
            methods.Add(request.Method);
            return Task.FromResult(Problem(HttpStatusCode.Forbidden,
                """{"detail":"not yours","code":"TopicAuthorizationFailed","errorCode":29}"""));
        };

        var refused = await Assert.ThrowsAsync<BrokerException>(() => _broker.Queues.PurgeAsync(Partition, "work").AsTask());

        Assert.Equal((ErrorCode.TopicAuthorizationFailed, "not yours"), (refused.Code, refused.Message));
        Assert.Equal([HttpMethod.Get], methods);
    }

    [Fact]
    public void Address_that_is_not_an_http_url_is_refused()
    {
        Assert.Contains("http://127.0.0.1:8080", Assert.Throws<ArgumentException>(() => new HttpBroker(new Uri("ftp://x"))).Message,
            StringComparison.Ordinal);
    }

    private static HttpResponseMessage Json(string text) => new() { Content = new StringContent(text, Encoding.UTF8, "application/json") };

    private static HttpResponseMessage Problem(HttpStatusCode status, string text) =>
        new(status) { Content = new StringContent(text, Encoding.UTF8, HttpContract.ProblemMediaType) };

    private sealed class ScriptedHandler : HttpMessageHandler
    {
        public Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> Answer { get; set; } = (_, _) =>
            throw new InvalidOperationException("no script");

        public Uri? LastUri { get; private set; }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            LastUri = request.RequestUri;
            var response = await Answer(request, cancellationToken);
            response.RequestMessage = request;
            return response;
        }
    }

    /// <summary>As a source, returns small pieces without a known length. As a target, stops at a gate with the buffer in hand.</summary>
    private sealed class SlowStream : MemoryStream
    {
        private readonly TaskCompletionSource? _reading;
        private readonly Task _gate = Task.CompletedTask;

        public SlowStream(byte[] bytes) : base(bytes)
        {
        }

        public SlowStream(TaskCompletionSource reading, Task gate) => (_reading, _gate) = (reading, gate);

        public override bool CanSeek => false;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(buffer.Length, 1777)], cancellationToken);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _reading?.SetResult();
            await _gate;
            Assert.Equal(100, buffer.Length);
        }
    }
}
