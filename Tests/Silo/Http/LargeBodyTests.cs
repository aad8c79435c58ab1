using System.Net;
using System.Text;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Http;
using OrleansMq.Testing;
using OrleansMq.Tests.Client;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Large JSON and long lines at a gateway with little memory for them, under a clock that stands still.</summary>
public sealed class LargeBodyTests : IAsyncLifetime
{
    private const int Mega = 1 << 20;
    // Each takes a first step of memory, and has sent more than is in it.
    private const int Half = 200_000;
    private const int Many = 30;
    // The budget, and what one body takes beyond it.
    private const int MostUsed = 17 * Mega;

    private readonly RunningBroker _broker = new();
    private readonly ManualTimeProvider _time = new();
    private readonly HttpClient _http = new() { Timeout = RunningBroker.Patience };
    private readonly HttpGateway _gateway;

    public LargeBodyTests() => _gateway = new HttpGateway(new HttpGatewayOptions
    {
        Listen = new IPEndPoint(IPAddress.Loopback, 0),
        BodyBytes = 16 * Mega,
        BodyClock = _time,
    });

    private Uri Address => _http.BaseAddress!;

    public async Task InitializeAsync()
    {
        await _broker.InitializeAsync();
        await _gateway.ListenAsync(CancellationToken.None);
        _gateway.Open(_broker.Hosted);
        _http.BaseAddress = new Uri(_gateway.Address);
    }

    public async Task DisposeAsync()
    {
        _http.Dispose();
        await _gateway.DisposeAsync();
        await _broker.DisposeAsync();
    }

    [Theory]
    [InlineData(RequestBody.FreeBytes - 1)]
    [InlineData(RequestBody.FreeBytes)]
    [InlineData(RequestBody.FreeBytes + 1)]
    [InlineData(900_000)]
    public async Task Body_of_any_length_arrives_whole(int bytes)
    {
        foreach (var isChunked in (bool[])[false, true])
        {
            using var answer = await CreateTopicAsync($"topic-{isChunked}", bytes, isChunked);
            Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        }
        Assert.Equal(0, _gateway.Bodies.Used);
    }

    [Fact]
    public async Task Half_bodies_take_no_more_than_the_budget_others_are_served_beside_them_and_the_pace_ends_them()
    {
        var half = new List<RawExchange>();
        try
        {
            for (var number = 0; number < Many; number++)
                half.Add(await RawExchange.SendAsync(Address, "POST /api/groups/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                    + $"application/json\r\nContent-Length: {(16 * Mega) - 1}\r\n\r\n{new string(' ', Half)}"));
            await Wait.UntilAsync(() => _gateway.Bodies.Waiting > 0, "more bodies than there is memory for");
            Assert.InRange(_gateway.Bodies.Used, Half, MostUsed);
            foreach (var bytes in (int[])[100, RequestBody.FreeBytes, 900_000])
            {
                using var answer = await CreateTopicAsync($"topic-{bytes}", bytes);
                Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
            }
            var answers = half.ConvertAll(static exchange => exchange.ReadAsync("HTTP/1.1 408".Length));
            await TimeGoesOnAsync(Task.WhenAll(answers));
            foreach (var answer in answers)
                Assert.Equal("HTTP/1.1 408", await answer);
            await ReturnedAsync();
        }
        finally
        {
            foreach (var exchange in half)
                await exchange.DisposeAsync();
        }
    }

    [Fact]
    public async Task Large_JSON_waits_for_the_memory_of_its_objects_is_refused_later_and_gives_it_back()
    {
        // More than the budget, which one body may have alone.
        using (await _gateway.Parsed.TryTakeAsync(16 * Mega, default))
        {
            using (var small = await CreateTopicAsync("small", RequestBody.FreeBytes - 1))
                Assert.Equal(HttpStatusCode.Created, small.StatusCode);
            foreach (var isChunked in (bool[])[false, true])
            {
                var waiting = CreateTopicAsync("large", RequestBody.FreeBytes, isChunked);
                await Wait.UntilAsync(() => _gateway.Parsed.Waiting == 1, "a body that waits");
                Assert.False(waiting.IsCompleted);
                _time.Advance(ParsedBodies.MostWait);
                using var refused = await waiting;
                await RunningBroker.AssertProblemAsync(refused, 503, ErrorCode.RequestTimedOut, "Retry in a moment");
            }
        }
        using (var large = await CreateTopicAsync("large", RequestBody.FreeBytes))
            Assert.Equal(HttpStatusCode.Created, large.StatusCode);
        await Wait.UntilAsync(() => _gateway.Parsed.Used == 0, "the memory of the objects to be returned");
    }

    [Fact]
    public async Task Long_line_takes_memory_until_it_ends()
    {
        var topic = await _broker.CreateTopicAsync();
        await using var stream = await OpenExchange.StartAsync(Address, topic);
        await stream.SendAsync("{\"value\":\"" + new string('x', Half));
        await Wait.UntilAsync(() => _gateway.Bodies.Used >= Half, "memory for the line");
        await stream.SendAsync("\"}\n{\"value\":\"short\"}\n");
        Assert.Equal("""{"partition":0,"offset":0}""", await stream.ReadLineAsync());
        Assert.Equal("""{"partition":0,"offset":1}""", await stream.ReadLineAsync());
        // The stream is still open.
        await ReturnedAsync();
        Assert.Equal([Half, "short".Length],
            (await _broker.ConsumeAsync(topic, 0)).Select(static record => record.GetProperty("value").GetString()!.Length));
    }

    [Fact]
    public async Task Line_that_stalls_ends_the_stream_after_the_lines_before_it()
    {
        await using var stream = await OpenExchange.StartAsync(Address, await _broker.CreateTopicAsync());
        await stream.SendAsync("{\"value\":\"a\"}\n{\"value\":\"" + new string('x', Half));
        Assert.Equal("""{"partition":0,"offset":0}""", await stream.ReadLineAsync());
        await Wait.UntilAsync(() => _gateway.Bodies.Used > 0, "memory for the line");
        var last = stream.ReadLineAsync();
        await TimeGoesOnAsync(last);
        var fault = RunningBroker.Lines((await last)!).Single();
        Assert.Equal(("RequestTimedOut", 2), (fault.GetProperty("code").GetString(), fault.GetProperty("line").GetInt32()));
        await ReturnedAsync();
    }

    [Fact]
    public async Task Unfinished_lines_take_no_more_than_the_budget_shorter_ones_are_appended_beside_them_and_the_pace_ends_them()
    {
        var topic = await _broker.CreateTopicAsync();
        var unfinished = new List<OpenExchange>();
        try
        {
            for (var number = 0; number < Many; number++)
            {
                unfinished.Add(await OpenExchange.StartAsync(Address, topic));
                await unfinished[^1].SendAsync("{\"value\":\"" + new string('x', Half));
            }
            await Wait.UntilAsync(() => _gateway.Bodies.Waiting > 0, "more lines than there is memory for");
            Assert.InRange(_gateway.Bodies.Used, Half, MostUsed);
            await using (var stream = await OpenExchange.StartAsync(Address, topic))
            {
                await stream.SendAsync("{\"value\":\"" + new string('x', 50_000) + "\"}\n");
                Assert.Equal("""{"partition":0,"offset":0}""", await stream.ReadLineAsync());
            }
            var answers = unfinished.ConvertAll(static exchange => exchange.ReadHeadAsync());
            await TimeGoesOnAsync(Task.WhenAll(answers));
            foreach (var answer in answers)
                Assert.StartsWith("HTTP/1.1 408", await answer, StringComparison.Ordinal);
            await ReturnedAsync();
        }
        finally
        {
            foreach (var exchange in unfinished)
                await exchange.DisposeAsync();
        }
    }

    [Fact]
    public async Task Clients_that_go_in_the_middle_of_a_line_leave_nothing()
    {
        var topic = await _broker.CreateTopicAsync();
        var unfinished = new List<OpenExchange>();
        for (var number = 0; number < Many; number++)
        {
            unfinished.Add(await OpenExchange.StartAsync(Address, topic));
            await unfinished[^1].SendAsync("{\"value\":\"" + new string('x', Half));
        }
        // Some hold memory, others wait for it.
        await Wait.UntilAsync(() => _gateway.Bodies.Waiting > 0, "more lines than there is memory for");
        foreach (var exchange in unfinished)
            await exchange.DisposeAsync();
        await ReturnedAsync();
    }

    [Fact]
    public async Task Line_above_the_topics_limit_is_refused_in_the_middle()
    {
        // A line may have 124,096 bytes.
        var topic = await _broker.CreateTopicAsync(configs: """{"max.message.bytes":"20000"}""");
        await using var stream = await OpenExchange.StartAsync(Address, topic);
        await stream.SendAsync("{\"value\":\"" + new string('x', 100_000));
        await Wait.UntilAsync(() => _gateway.Bodies.Used > 0, "memory for the line");
        await stream.SendAsync(new string('x', 100_000));
        Assert.StartsWith("HTTP/1.1 413", await stream.ReadHeadAsync(), StringComparison.Ordinal);
        await ReturnedAsync();
    }

    [Fact]
    public async Task Lines_of_any_length_arrive_whole_however_they_are_cut()
    {
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        // Some lines are just as long as one may be that takes no memory.
        int[] lengths = [5, .. Enumerable.Range(RequestBody.FreeBytes - 16, 20), 130_000, 200_000, 7, 900_000, 0, 300_000];
        var values = lengths.Select((length, number) => $"{number}-{new string((char)('a' + (number % 26)), length)}").ToList();
        var text = string.Join('\n', values.Select(static value => $$"""{"value":"{{value}}"}"""));
        var topic = await _broker.CreateTopicAsync();
        await using var stream = await OpenExchange.StartAsync(Address, topic);
        for (var at = 0; at < text.Length;)
        {
            var length = Math.Min(random.Next(1, random.Next(2) == 0 ? 150_000 : 5_000), text.Length - at);
            await stream.SendAsync(text.Substring(at, length)).WaitAsync(RunningBroker.Patience);
            at += length;
        }
        await stream.EndAsync();
        for (var number = 0; number < values.Count; number++)
            Assert.Equal($$"""{"partition":0,"offset":{{number}}}""", await stream.ReadLineAsync());
        Assert.Null(await stream.ReadLineAsync());
        var records = await _broker.ConsumeAsync(topic, 0);
        Assert.True(values.SequenceEqual(records.Select(static record => record.GetProperty("value").GetString()!)), $"seed {seed}");
        await ReturnedAsync();
    }

    private async Task<HttpResponseMessage> CreateTopicAsync(string name, int bytes, bool isChunked = false)
    {
        // The end counts.
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/api/topics/{name}")
        {
            Content = new StringContent("""{"partitions": 1""".PadRight(bytes - 1) + "}", Encoding.UTF8, "application/json"),
        };
        request.Headers.TransferEncodingChunked = isChunked;
        return await _http.SendAsync(request);
    }

    private Task TimeGoesOnAsync(Task answered) => Wait.UntilAsync(() =>
    {
        _time.Advance(TimeSpan.FromSeconds(5));
        return answered.IsCompleted;
    }, "an answer");

    private Task ReturnedAsync() => Wait.UntilAsync(() => _gateway.Bodies.Used == 0, "the memory to be returned");
}
