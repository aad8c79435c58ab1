using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Http;
using OrleansMq.Client;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Http;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Raw batches that arrive slowly, or not at all: others are served beside them.</summary>
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
                    .WaitAsync(TimeSpan.FromSeconds(20));
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
        await using var bodies = new BatchBodies(4 * Mega, time, log);
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

    private static DefaultHttpContext Request(Stream body) => new() { Request = { Body = body } };

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
