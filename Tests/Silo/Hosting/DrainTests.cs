using System.Net;
using System.Net.Sockets;
using OrleansMq.Api;
using OrleansMq.Tests.Silo.Http;

namespace OrleansMq.Tests.Silo.Hosting;

/// <summary>The fate of requests when the broker stops. Each test has its own broker.</summary>
public sealed class DrainTests : IAsyncLifetime
{
    private readonly RunningBroker _broker = new();

    public Task InitializeAsync() => _broker.InitializeAsync();

    public Task DisposeAsync() => _broker.DisposeAsync();

    [Theory]
    [InlineData("records?offset=0&waitMs=600000")]
    [InlineData("batches?offset=0&waitMs=600000")]
    public async Task Drain_ends_a_long_poll_at_once_with_available_records(string path)
    {
        var topic = await _broker.CreateTopicAsync();
        var waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _broker.Script.OnFetch = (request, _) =>
        {
            if (request.MaxWait > TimeSpan.Zero)
                waiting.TrySetResult();
            return null;
        };
        var poll = _broker.Http.GetAsync($"/api/topics/{topic}/partitions/0/{path}");
        await waiting.Task.WaitAsync(RunningBroker.Patience);
        var stopped = _broker.Server.DisposeAsync().AsTask();
        using var answer = await poll.WaitAsync(RunningBroker.Patience);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Empty(await answer.Content.ReadAsByteArrayAsync());
        await stopped.WaitAsync(RunningBroker.Patience);
    }

    [Fact]
    public async Task Drain_answers_requests_in_flight_and_their_records_survive_a_restart()
    {
        var topic = await _broker.CreateTopicAsync();
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var real = _broker.Script;
        real.OnProduce = (partition, batch) => AppendLaterAsync(partition, batch);
        async ValueTask<ProduceResult> AppendLaterAsync(TopicPartition partition, Memory<byte> batch)
        {
            arrived.TrySetResult();
            await go.Task;
            real.OnProduce = null;
            return await real.ProduceAsync(partition, batch, Acks.All);
        }
        var produce = _broker.ProduceAllAsync(topic, """{"value":"in flight"}""");
        await arrived.Task.WaitAsync(RunningBroker.Patience);
        var stopped = _broker.Server.DisposeAsync().AsTask();
        await AssertRefusesConnectionsAsync();
        Assert.False(stopped.IsCompleted);
        go.SetResult();
        Assert.Equal(0, Assert.Single(await produce).GetProperty("offset").GetInt64());
        await stopped.WaitAsync(RunningBroker.Patience);
    }

    [Fact]
    public async Task Drain_tells_an_open_produce_stream_where_it_ended()
    {
        var topic = await _broker.CreateTopicAsync();
        await using var exchange = await OpenExchange.StartAsync(_broker, topic);
        await exchange.SendAsync("{\"value\":\"a\"}\n");
        Assert.Equal("""{"partition":0,"offset":0}""", await exchange.ReadLineAsync());
        var stopped = _broker.Server.DisposeAsync().AsTask();
        var last = RunningBroker.Lines((await exchange.ReadLineAsync())!).Single();
        Assert.Equal(("LeaderNotAvailable", true, 2),
            (last.GetProperty("code").GetString(), last.GetProperty("retriable").GetBoolean(), last.GetProperty("line").GetInt32()));
        await stopped.WaitAsync(RunningBroker.Patience);
    }

    [Fact]
    public async Task Drain_tells_a_produce_stream_that_a_long_line_was_not_read()
    {
        var topic = await _broker.CreateTopicAsync();
        await using var exchange = await OpenExchange.StartAsync(_broker, topic);
        await exchange.SendAsync("{\"value\":\"a\"}\n{\"value\":\"" + new string('x', 300_000));
        Assert.Equal("""{"partition":0,"offset":0}""", await exchange.ReadLineAsync());
        var stopped = _broker.Server.DisposeAsync().AsTask();
        var last = RunningBroker.Lines((await exchange.ReadLineAsync())!).Single();
        Assert.Equal(("LeaderNotAvailable", 2), (last.GetProperty("code").GetString(), last.GetProperty("line").GetInt32()));
        await stopped.WaitAsync(RunningBroker.Patience);
    }

    [Fact]
    public async Task Drain_without_requests_ends_despite_open_connections()
    {
        Assert.Equal("ok", await _broker.Http.GetStringAsync("/healthz"));
        await _broker.Server.DisposeAsync().AsTask().WaitAsync(RunningBroker.Patience);
        Assert.DoesNotContain("still in flight", _broker.Log, StringComparison.Ordinal);
    }

    /// <summary>Waits until the listener has closed, some time after the stop began. Nothing else signals it.</summary>
    private async Task AssertRefusesConnectionsAsync()
    {
        var deadline = DateTime.UtcNow + RunningBroker.Patience;
        while (true)
        {
            using var client = new TcpClient();
            try
            {
                await client.ConnectAsync(IPAddress.Loopback, _broker.Http.BaseAddress!.Port);
            }
            catch (SocketException)
            {
                return;
            }
            Assert.True(DateTime.UtcNow < deadline, "the broker still accepts connections while it stops");
            await Task.Yield();
        }
    }
}
