using OrleansMq.Compression;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>One request with many small batches that decompress to much.</summary>
public sealed class DecompressedRequestTests
{
    private const int BombBytes = 100 << 20;
    private static readonly TopicPartition Partition = new("orders", 0);

    [Fact]
    public async Task Batches_of_a_request_are_decompressed_up_to_a_total()
    {
        await using var harness = await GatewayHarness.StartAsync(codecs: StandardCodecs.All);
        // The records of a compacted topic are checked for keys.
        await harness.Broker.AlterTopicAsync("orders", new Dictionary<string, string?> { ["cleanup.policy"] = "compact" });
        var bomb = Bomb();
        Assert.InRange(bomb.Length, 1, 100_000);
        var fit = (int)(ProduceApi.MaxDecompressedBytes / BombBytes);

        var answer = await AskAsync(harness, Enumerable.Repeat(bomb, fit + 2));

        Assert.Equal(2, answer.Split('\n').Count(static line => line.Trim() == $"ErrorCode: {(int)ErrorCode.MessageTooLarge}"));
        Assert.Contains("1024 MiB in all", answer, StringComparison.Ordinal);
        Assert.Equal(2 + fit, (await harness.Broker.FindOffsetAsync(Partition, OffsetSpec.Latest)).Offset);
        // The next request has an allowance of its own.
        await AskAsync(harness, [bomb]);
        Assert.Equal(3 + fit, (await harness.Broker.FindOffsetAsync(Partition, OffsetSpec.Latest)).Offset);
    }

    private static byte[] Bomb()
    {
        using var builder = new RecordBatchBuilder(CompressionType.Zstd, StandardCodecs.All);
        builder.Add(TestBatches.FirstTimestamp, "key"u8, true, new byte[BombBytes], true);
        return builder.Build().ToArray();
    }

    private static async Task<string> AskAsync(GatewayHarness harness, IEnumerable<byte[]> batches)
    {
        var request = new ProduceRequest(null, -1, [new ProduceTopic(Partition.Topic, Guid.Empty,
            [.. batches.Select(static batch => new ProducePartition(Partition.Partition, batch.ToArray()))])]);
        var api = ApiTable.All.OfType<ProduceApi>().Single();
        const short version = 9;
        var answer = await harness.AnswerAsync(new DecodedRequest(DecodeOutcome.Decoded, api, (short)api.Key, version, 1, "client", request,
            null, 0));
        return MessageText.OfResponse(Schema.Response((short)api.Key), version, answer!, 1);
    }
}
