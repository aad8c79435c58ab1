using System.Net;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Http;

/// <summary>Several addresses: which broker is tried next, and what is never sent twice.</summary>
public sealed class FailoverTests : IDisposable
{
    private static readonly TopicPartition Partition = new("orders", 0);

    private readonly Cluster _cluster = new();
    private readonly HttpClient _http;
    private readonly ManualTimeProvider _clock = new();

    public FailoverTests() => _http = new HttpClient(_cluster);

    public void Dispose()
    {
        _http.Dispose();
        _cluster.Dispose();
    }

    [Fact]
    public async Task Unavailable_broker_is_skipped_within_the_call_and_afterwards()
    {
        using var broker = Connect();
        _cluster.Down("a");

        Assert.Empty(await broker.ListTopicsAsync());
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Partition, new byte[] { 1 }, Acks.All)).Error);
        Assert.Equal(ErrorCode.None, (await broker.FetchAsync(new FetchRequest(Partition, 0))).Error);

        Assert.Equal(["a", "b", "b", "b"], _cluster.Asked);
        Assert.Equal("http://b/", broker.BaseAddress.AbsoluteUri);
    }

    [Fact]
    public async Task Every_entry_point_fails_over_by_itself()
    {
        using (var broker = Connect())
        {
            _cluster.Down("a", "b");
            Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Partition, new byte[] { 1 }, Acks.All)).Error);
        }
        using (var broker = Connect())
            Assert.Equal(ErrorCode.None, (await broker.FetchAsync(new FetchRequest(Partition, 0))).Error);
        using (var broker = Connect())
            Assert.Equal(ErrorCode.None, (await broker.FindOffsetAsync(Partition, OffsetSpec.Latest)).Error);
        Assert.Equal(["a", "b", "c", "a", "b", "c", "a", "b", "c"], _cluster.Asked);
    }

    [Fact]
    public async Task All_brokers_unavailable_are_tried_once_and_named()
    {
        using var broker = Connect();
        _cluster.Down("a", "b", "c");

        var refused = await Assert.ThrowsAsync<BrokerUnreachableException>(async () => await broker.ListTopicsAsync());
        Assert.Equal(ErrorCode.LeaderNotAvailable, refused.Code);
        Assert.All(["http://a/", "http://b/", "http://c/"], address => Assert.Contains(address, refused.Message, StringComparison.Ordinal));
        Assert.Equal(ErrorCode.LeaderNotAvailable, (await broker.ProduceAsync(Partition, new byte[] { 1 }, Acks.All)).Error);
        Assert.Equal(ErrorCode.LeaderNotAvailable, (await broker.FetchAsync(new FetchRequest(Partition, 0))).Error);
        Assert.Equal(9, _cluster.Asked.Count);
    }

    [Fact]
    public async Task Request_that_may_have_arrived_is_not_resent_but_the_next_call_fails_over()
    {
        using var broker = Connect();
        _cluster.Breaks("a");

        Assert.Equal(ErrorCode.RequestTimedOut, (await broker.ProduceAsync(Partition, new byte[] { 1 }, Acks.All)).Error);
        Assert.Equal(["a"], _cluster.Asked);
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Partition, new byte[] { 1 }, Acks.All)).Error);
        Assert.Equal(["a", "b"], _cluster.Asked);
    }

    [Fact]
    public async Task Change_that_may_have_arrived_is_not_resent_and_a_query_is()
    {
        using (var broker = Connect())
        {
            _cluster.Breaks("a");
            var unknown = await Assert.ThrowsAsync<BrokerUnreachableException>(async () => await broker.DeleteTopicAsync("orders"));
            Assert.Equal(ErrorCode.RequestTimedOut, unknown.Code);
            Assert.Equal(["a"], _cluster.Asked);
        }
        using (var broker = Connect())
            Assert.Empty(await broker.ListTopicsAsync());
        Assert.Equal(["a", "a", "b"], _cluster.Asked);
    }

    [Fact]
    public async Task Starting_broker_is_skipped()
    {
        using var broker = Connect();
        _cluster.Refuses("a", "LeaderNotAvailable", ErrorCode.LeaderNotAvailable);
        Assert.Empty(await broker.ListTopicsAsync());
        Assert.Equal(["a", "b"], _cluster.Asked);
    }

    [Fact]
    public async Task Refusal_is_final()
    {
        using var broker = Connect();
        _cluster.Refuses("a", "InvalidTopic", ErrorCode.InvalidTopic);
        Assert.Equal(ErrorCode.InvalidTopic,
            (await Assert.ThrowsAsync<BrokerException>(async () => await broker.CreateTopicAsync(new NewTopic("x")))).Code);
        Assert.Equal(["a"], _cluster.Asked);
    }

    [Fact]
    public async Task Brokers_are_retried_within_the_retry_timeout()
    {
        using var broker = Connect(new HttpBrokerOptions { TimeProvider = _clock, RetryTimeout = TimeSpan.FromSeconds(10) });
        _cluster.Down("a", "b", "c");

        var call = broker.ListTopicsAsync().AsTask();
        await Wait.UntilAsync(() => _cluster.Asked.Count == 3 && _clock.ArmedTimers.Count == 1, "the pause after the first round");
        _cluster.Down();
        _clock.Advance(TimeSpan.FromMilliseconds(100));

        Assert.Empty(await call.SoonAsync());
        Assert.Equal(["a", "b", "c", "a"], _cluster.Asked);
    }

    [Fact]
    public async Task Call_fails_after_the_retry_timeout()
    {
        using var broker = Connect(new HttpBrokerOptions { TimeProvider = _clock, RetryTimeout = TimeSpan.FromSeconds(10) });
        _cluster.Down("a", "b", "c");

        var call = broker.ListTopicsAsync().AsTask();
        await Wait.UntilAsync(() => _cluster.Asked.Count == 3 && _clock.ArmedTimers.Count == 1, "the pause after the first round");
        _clock.Advance(TimeSpan.FromSeconds(10));

        await Assert.ThrowsAsync<BrokerUnreachableException>(() => call.SoonAsync());
    }

    [Fact]
    public void Client_without_address_is_refused() =>
        Assert.Contains("http://127.0.0.1:8080", Assert.Throws<ArgumentException>(() => new HttpBroker(Array.Empty<Uri>())).Message,
            StringComparison.Ordinal);

    private HttpBroker Connect(HttpBrokerOptions? options = null) =>
        new(_http, [new Uri("http://a"), new Uri("http://b"), new Uri("http://c")], options
            ?? new HttpBrokerOptions { TimeProvider = _clock });

    /// <summary>Three brokers with individual states.</summary>
    private sealed class Cluster : HttpMessageHandler
    {
        private string[] _down = [];
        private string? _breaks;
        private (string Host, string Name, ErrorCode Code)? _refuses;

        public List<string> Asked { get; } = [];

        public void Down(params string[] hosts) => _down = hosts;

        /// <summary>Breaks connections after the request has arrived.</summary>
        public void Breaks(string host) => _breaks = host;

        public void Refuses(string host, string name, ErrorCode code) => _refuses = (host, name, code);

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var host = request.RequestUri!.Host;
            Asked.Add(host);
            if (_down.Contains(host))
                throw new HttpRequestException(HttpRequestError.ConnectionError, "refused");
            if (request.Content is not null)
                await request.Content.CopyToAsync(Stream.Null, cancellationToken);
            if (_breaks == host)
                throw new HttpRequestException(HttpRequestError.ResponseEnded, "broken");
            if (_refuses is { } refused && refused.Host == host)
                return Answer(HttpStatusCode.ServiceUnavailable, $$"""{"code":"{{refused.Name}}","errorCode":{{(int)refused.Code}}}""",
                    HttpContract.ProblemMediaType);
            return request.RequestUri.AbsolutePath.EndsWith("/batches", StringComparison.Ordinal) && request.Method == HttpMethod.Get
                ? Answer(HttpStatusCode.OK, "", HttpContract.RecordBatchMediaType)
                : Answer(HttpStatusCode.OK, request.RequestUri.AbsolutePath.EndsWith("/topics", StringComparison.Ordinal)
                    ? "[]" : "{}", "application/json");
        }

        private static HttpResponseMessage Answer(HttpStatusCode status, string text, string type) =>
            new(status) { Content = new StringContent(text, Encoding.UTF8, type) };
    }
}
