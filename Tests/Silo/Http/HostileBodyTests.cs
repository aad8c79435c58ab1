using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Http;
using OrleansMq.Client;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Http;
using OrleansMq.Testing;
using OrleansMq.Tests.Client;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Bodies that arrive slowly, or not at all: others are served beside them.</summary>
public sealed class HostileBodyTests
{
    private const int Mega = 1 << 20;

    [Fact]
    public async Task Bodies_that_are_announced_and_drip_delay_no_other_of_any_size()
    {
        var broker = new RunningBroker();
        await broker.InitializeAsync();
        var hostile = new List<RawExchange>();
        try
        {
            var topic = await broker.CreateTopicAsync(configs: """{"max.message.bytes":"50000000"}""");
            for (var number = 0; number < 20; number++)
                hostile.Add(await RawExchange.SendAsync(broker, $"POST /api/topics/{topic}/partitions/0/batches HTTP/1.1\r\n"
                    + $"Host: localhost\r\nContent-Type: {HttpContract.RecordBatchMediaType}\r\nContent-Length: {100 * Mega}\r\n\r\nabc"));
            foreach (var bytes in (int[])[100, 500_000, 4_000_000, 8_000_000, 100])
            {
                using var content = new ByteArrayContent(TestBatches.OfSize(bytes));
                content.Headers.ContentType = new MediaTypeHeaderValue(HttpContract.RecordBatchMediaType);
                using var answer = await broker.Http.PostAsync($"/api/topics/{topic}/partitions/0/batches", content)
                    .WaitAsync(RunningBroker.Patience);
                Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            }
        }
        finally
        {
            foreach (var exchange in hostile)
                await exchange.DisposeAsync();
            await broker.DisposeAsync();
        }
    }

    [Fact]
    public async Task Body_that_drips_while_others_wait_for_memory_is_refused_and_they_are_served()
    {
        var (time, log) = (new ManualTimeProvider(), new Lines());
        await using var bodies = new RequestBodies(4 * Mega, time, log);
        bodies.Watch();
        // One beyond the budget, one that waits, and a small one.
        var (slow, waiting) = (new DrippingBody(6 * Mega), new DrippingBody(8 * Mega));
        var refused = bodies.ReceiveAsync(Request(slow), 8 * Mega).AsTask();
        var served = bodies.ReceiveAsync(Request(waiting), 8 * Mega).AsTask();
        Assert.InRange(bodies.Used, 8 * Mega, 12 * Mega);
        bodies.Return(await bodies.ReceiveAsync(Request(new DrippingBody(1000)), 1000));
        Assert.False(refused.IsCompleted || served.IsCompleted);
        for (var seconds = 0; !refused.IsCompleted && seconds < 120; seconds += 5)
        {
            // More than the server's own least rate, and far too little for what it holds.
            slow.Arrive(5 * 8000);
            time.Advance(TimeSpan.FromSeconds(5));
        }
        var fault = await Assert.ThrowsAsync<RequestException>(() => refused);
        Assert.Equal(StatusCodes.Status408RequestTimeout, fault.Status);
        var frame = await served.WaitAsync(RunningBroker.Patience);
        Assert.Equal(0, frame.Missing);
        bodies.Return(frame);
        Assert.Equal(0, bodies.Used);
        Assert.Contains(log.All, static line => line.Contains("arrived too slowly", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Half_bodies_of_JSON_are_bounded_together_and_a_smaller_one_is_served_beside_them()
    {
        var (time, log) = (new ManualTimeProvider(), new Lines());
        await using var bodies = new RequestBodies(4 * Mega, time, log);
        bodies.Watch();
        var begun = new byte[RequestBody.FreeBytes];
        var half = Enumerable.Range(0, 20).Select(_ =>
            bodies.ReceiveRestAsync(Request(new DrippingBody(3 * Mega), 8 * Mega), begun).AsTask()).ToList();
        // The budget, and one beyond it.
        Assert.InRange(bodies.Used, 2 * Mega, (4 + 8) * Mega);
        Assert.All(half, static receiving => Assert.False(receiving.IsCompleted));
        var small = await bodies.ReceiveRestAsync(Request(new DrippingBody(100_000), begun.Length + 100_000), begun).AsTask()
            .WaitAsync(RunningBroker.Patience);
        Assert.Equal(begun.Length + 100_000, small.Arrived.Length);
        bodies.Return(small);

        await Wait.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(5));
            return half.TrueForAll(static receiving => receiving.IsCompleted);
        }, "the pace to end them");
        foreach (var refused in half)
            Assert.Equal(StatusCodes.Status408RequestTimeout, (await Assert.ThrowsAsync<RequestException>(() => refused)).Status);
        Assert.Equal((0L, 0), (bodies.Used, bodies.Waiting));
    }

    [Fact]
    public async Task Body_without_a_length_is_received_to_its_end_or_its_limit()
    {
        await using var bodies = new RequestBodies(4 * Mega, new ManualTimeProvider(), new Lines());
        var begun = new byte[RequestBody.FreeBytes];
        begun[^1] = 1;
        using var rest = new MemoryStream([2, .. new byte[200_000], 3]);
        var whole = await bodies.ReceiveRestAsync(Request(rest), begun);
        Assert.Equal(begun.Length + 200_002, whole.Arrived.Length);
        Assert.Equal([1, 2], whole.Arrived.Slice(begun.Length - 1, 2).ToArray());
        Assert.Equal([3], whole.Arrived[^1..].ToArray());
        bodies.Return(whole);

        var endless = bodies.ReceiveRestAsync(Request(new DrippingBody(2 * Mega)), begun).AsTask();
        var refused = await Assert.ThrowsAsync<RequestException>(() => endless.WaitAsync(RunningBroker.Patience));
        Assert.Equal(StatusCodes.Status413PayloadTooLarge, refused.Status);
        Assert.Equal(0, bodies.Used);
    }

    [Fact]
    public async Task Pace_does_not_count_while_nothing_is_read()
    {
        var time = new ManualTimeProvider();
        await using var bodies = new RequestBodies(4 * Mega, time, new Lines());
        bodies.Watch();
        using var line = bodies.Begin(Mega, isAnnounced: true, CancellationToken.None);
        Assert.True(await line.TryAddAsync(new ReadOnlySequence<byte>(new byte[100_000])));
        line.IsPaused = true;
        for (var seconds = 0; seconds < 300; seconds += 5)
            time.Advance(TimeSpan.FromSeconds(5));
        Assert.False(line.IsTooSlow);
        line.IsPaused = false;
        for (var seconds = 0; seconds < 60; seconds += 5)
            time.Advance(TimeSpan.FromSeconds(5));
        Assert.True(line.IsTooSlow && line.Token.IsCancellationRequested);
        bodies.Return(line.Frame);
        Assert.Equal(0, bodies.Used);
    }

    private static DefaultHttpContext Request(Stream body, long? length = null) => new()
    {
        Request = { Body = body, ContentLength = length },
    };

    private sealed class Lines : EngineLog
    {
        public ConcurrentQueue<string> All { get; } = new();

        public override void Write(EngineLogLevel level, string message, Exception? exception = null) => All.Enqueue(message);
    }

    /// <summary>A body of which some bytes have arrived.</summary>
    private sealed class DrippingBody(int arrived) : MemoryStream
    {
        private TaskCompletionSource _more = new();
        private int _left = arrived;

        public void Arrive(int bytes)
        {
            _left += bytes;
            var more = _more;
            _more = new TaskCompletionSource();
            more.SetResult();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            while (_left == 0)
                await _more.Task.WaitAsync(cancellationToken);
            var read = Math.Min(buffer.Length, _left);
            _left -= read;
            return read;
        }
    }
}
