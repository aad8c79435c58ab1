using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Gateways.Http.Lines;
using OrleansMq.Records;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Reads as lines of batches that decompress to much.</summary>
public sealed class DecompressedReadsTests
{
    private const int Mega = 1 << 20;

    [Fact]
    public void Batches_have_room_up_to_the_bound_and_one_above_it_alone()
    {
        var reads = new DecompressedReads(10 * Mega);
        Assert.True(reads.TryTake(11 * Mega));
        Assert.False(reads.TryTake(2 * Mega));
        reads.Return(11 * Mega);
        Assert.True(reads.TryTake(8 * Mega));
        Assert.True(reads.TryTake(2 * Mega));
        Assert.False(reads.TryTake(2 * Mega));
        Assert.Equal(10 * Mega, reads.Used);
    }

    [Fact]
    public void Client_that_receives_little_within_each_grace_is_too_slow_in_sum()
    {
        var (reads, clock) = (new DecompressedReads(100 * Mega), new ManualTimeProvider());
        var rate = new ServerRate();
        using var held = new HeldBatch(reads, clock, rate);
        Assert.True(held.IsInTime(0));
        held.Take(48 * Mega);
        Assert.Equal(48 * Mega, reads.Used);
        clock.Advance(TimeSpan.FromSeconds(29));
        Assert.True(held.IsInTime(HeldBatch.BytesPerSecond));
        clock.Advance(TimeSpan.FromSeconds(29));
        Assert.False(held.IsInTime(HeldBatch.BytesPerSecond));
    }

    [Fact]
    public void Client_at_the_least_rate_is_in_time_and_the_next_batch_has_a_grace_of_its_own()
    {
        var (reads, clock) = (new DecompressedReads(100 * Mega), new ManualTimeProvider());
        var rate = new ServerRate();
        using var held = new HeldBatch(reads, clock, rate);
        held.Take(48 * Mega);
        clock.Advance(HeldBatch.Grace);
        for (var second = 0; second < 100; second++)
        {
            Assert.True(held.IsInTime(HeldBatch.BytesPerSecond));
            clock.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.NotNull(rate.MinDataRate);
        held.Take(47 * Mega);
        clock.Advance(HeldBatch.Grace);
        Assert.True(held.IsInTime(0));
        held.Take(DecompressedReads.FreeBytes);
        Assert.False(held.IsTaken);
        Assert.Null(rate.MinDataRate);
        Assert.Equal(0, reads.Used);
        clock.Advance(TimeSpan.FromHours(1));
        Assert.True(held.IsInTime(0));
    }

    [Fact]
    public void Client_may_take_any_time_after_the_batch_is_given_back()
    {
        var rate = new ServerRate();
        using var held = new HeldBatch(new DecompressedReads(100 * Mega), new ManualTimeProvider(), rate);
        held.Take(48 * Mega);
        held.Dispose();
        Assert.Null(rate.MinDataRate);
    }

    private sealed class ServerRate : IHttpMinResponseDataRateFeature
    {
        public MinDataRate? MinDataRate { get; set; } = new(1, TimeSpan.FromHours(1));
    }

    [Fact]
    public async Task Clients_that_receive_nothing_hold_no_more_than_the_bound()
    {
        var broker = new RunningBroker();
        await broker.InitializeAsync();
        var silent = new List<RawExchange>();
        try
        {
            var topic = await broker.CreateTopicAsync();
            using (var content = new ByteArrayContent(Bomb(48)))
            {
                content.Headers.ContentType = new MediaTypeHeaderValue(HttpContract.RecordBatchMediaType);
                using var produced = await broker.Http.PostAsync($"/api/topics/{topic}/partitions/0/batches", content);
                Assert.Equal(HttpStatusCode.OK, produced.StatusCode);
            }
            var path = $"/api/topics/{topic}/partitions/0/records";
            Assert.Equal(HttpStatusCode.OK, await ReadAsync(broker, path + "?max=1"));
            for (var number = 0; number < 5; number++)
            {
                silent.Add(await RawExchange.SendAsync(broker, $"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
                Assert.Equal("HTTP/1.1 200", await silent[^1].ReadAsync("HTTP/1.1 200".Length));
            }
            using (var refused = await broker.Http.GetAsync(path + "?max=1"))
                await RunningBroker.AssertProblemAsync(refused, 503, ErrorCode.KafkaStorageError, "Offset 0", "decompress");
            foreach (var exchange in silent)
                await exchange.DisposeAsync();
            using var patience = new CancellationTokenSource(RunningBroker.Patience);
            while (await ReadAsync(broker, path + "?max=1") != HttpStatusCode.OK)
                await Task.Delay(20, patience.Token);
        }
        finally
        {
            foreach (var exchange in silent)
                await exchange.DisposeAsync();
            await broker.DisposeAsync();
        }
    }

    private static async Task<HttpStatusCode> ReadAsync(RunningBroker broker, string path)
    {
        using var answer = await broker.Http.GetAsync(path);
        return answer.StatusCode;
    }

    private static byte[] Bomb(int megabytes)
    {
        using var builder = new RecordBatchBuilder(CompressionType.Zstd, StandardCodecs.All);
        var value = new byte[64 << 10];
        value.AsSpan().Fill((byte)'a');
        for (var number = 0; number < megabytes * 16; number++)
            builder.Add(1000, [], false, value, true);
        return builder.Build().ToArray();
    }
}
