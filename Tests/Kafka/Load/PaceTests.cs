using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Load;

public sealed class PaceTests
{
    [Fact]
    public void Requests_are_due_evenly_whenever_they_are_taken()
    {
        var pace = new Pace(3, requestsPerSecond: 10);
        Assert.True(pace.TryTake(out var first));
        Assert.True(pace.TryTake(out var second));
        Assert.True(pace.TryTake(out var third));
        Assert.False(pace.TryTake(out _));
        Assert.Equal(Stopwatch.Frequency / 10, second - first);
        Assert.Equal(Stopwatch.Frequency / 10, third - second);
    }

    [Fact]
    public void Stopped_pace_hands_out_nothing()
    {
        var pace = new Pace(3, 0);
        Assert.True(pace.TryTake(out _));
        pace.Stop();
        Assert.False(pace.TryTake(out _));
    }

    [Fact]
    public async Task Request_queued_behind_a_slow_response_counts_as_slow()
    {
        const int Requests = 20;
        var hold = TimeSpan.FromMilliseconds(300);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var broker = Task.Run(() => AnswerAsync(listener, Requests, hold));
        var template = new ProduceTemplate("t", 1, ProduceTemplate.Batch(10, 0, 0, 0, out var records), records, partitions: 1);
        var latencies = new LatencyHistogram();
        using (var connection = new ProduceConnection(listener.LocalEndpoint.ToString()!, template, [0], window: 1))
            await Task.Run(() => connection.RunAtRate(new Pace(Requests, requestsPerSecond: 1000), latencies))
                .WaitAsync(KafkaServer.Patience);
        await broker;
        // All were due within 20 ms, and none was answered before the first one was.
        Assert.Equal(Requests, latencies.Count);
        Assert.True(latencies.Summarize().P50 >= hold.TotalMilliseconds - Requests);
    }

    /// <summary>Plays a broker that delays its first answer.</summary>
    private static async Task AnswerAsync(TcpListener listener, int requests, TimeSpan hold)
    {
        using var client = await listener.AcceptTcpClientAsync();
        var stream = client.GetStream();
        for (var i = 0; i < requests; i++)
        {
            var head = new byte[12];
            await stream.ReadExactlyAsync(head);
            await stream.ReadExactlyAsync(new byte[BinaryPrimitives.ReadInt32BigEndian(head) - 8]);
            if (i == 0)
                await Task.Delay(hold);
            // No topic, no throttling.
            byte[] answer = [0, 0, 0, 12, .. head[8..], 0, 0, 0, 0, 0, 0, 0, 0];
            await stream.WriteAsync(answer);
        }
    }
}
