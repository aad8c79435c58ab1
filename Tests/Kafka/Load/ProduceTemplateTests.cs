using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Kafka.Load;

public sealed class ProduceTemplateTests
{
    [Theory]
    [InlineData(100, 16_384, 140, 157)]
    [InlineData(1000, 16_384, 16, 16)]
    [InlineData(65_536, 16_384, 1, 1)]
    public void Batch_holds_as_many_records_as_fit_and_at_least_one(int recordBytes, int batchBytes, int fewest, int most)
    {
        var batch = ProduceTemplate.Batch(recordBytes, batchBytes, CompressionType.None, 1_700_000_000_000, out var records);
        Assert.InRange(records, fewest, most);
        var header = RecordBatchHeader.Read(batch);
        Assert.Equal(records, header.RecordCount);
        Assert.Equal(batch.Length, header.SizeInBytes);
        Assert.Equal(Crc32C.Compute(batch.AsSpan(RecordBatchHeader.CrcStart)), header.Crc);
    }

    [Fact]
    public void Compressed_batch_names_its_codec()
    {
        var batch = ProduceTemplate.Batch(100, 16_384, CompressionType.Lz4, 0, out var records);
        Assert.Equal(CompressionType.Lz4, RecordBatchHeader.Read(batch).Compression);
        Assert.True(batch.Length < 100 * records);
        Assert.NotNull(StandardCodecs.All.Get(CompressionType.Lz4));
    }

    [Fact]
    public void Only_the_correlation_id_and_the_partitions_are_rewritten()
    {
        var template = new ProduceTemplate("topic", 1, ProduceTemplate.Batch(10, 0, CompressionType.None, 0, out var records), records,
            partitions: 2);
        int[] partitions = [7, 8, 9];
        var first = template.Patch(1, partitions, 0).ToArray();
        var second = template.Patch(2, partitions, 2).ToArray();
        var changed = first.Zip(second).Select((pair, at) => (At: at, pair.First, pair.Second)).Where(pair => pair.First != pair.Second)
            .ToList();
        Assert.Equal([(1, 2), (7, 9), (8, 7)], changed.Select(pair => ((int)pair.First, (int)pair.Second)));
        Assert.Equal(WireWriter.CorrelationIdAt + 3, changed[0].At);
        Assert.Equal(2 * records, template.RecordsInRequest);
    }

    [Fact]
    public void Copies_have_separate_memory()
    {
        var template = new ProduceTemplate("topic", 1, ProduceTemplate.Batch(10, 0, CompressionType.None, 0, out var records), records,
            partitions: 1);
        var before = template.Patch(1, [0], 0).ToArray();
        template.Copy().Patch(2, [5], 0);
        Assert.Equal(before, template.Patch(1, [0], 0).ToArray());
    }

    [Fact]
    public void Connections_are_spread_over_the_leaders()
    {
        LedPartition[] layout = [new(0, "a:1"), new(1, "b:1"), new(2, "a:1"), new(3, "a:1")];
        var three = LoadRun.Spread(layout, 3)
            .Select(share => $"{share.Endpoint} {string.Join(',', share.Partitions.Select(partition => partition.Index))}");
        Assert.Equal(["a:1 0,3", "a:1 2", "b:1 1"], three);
        // More connections than partitions share partitions.
        Assert.Equal(["a:1 0", "a:1 0"], LoadRun.Spread(layout[..1], 2).Select(share => $"{share.Endpoint} {share.Partitions[0].Index}"));
        // Unless each partition must be read once.
        Assert.Equal(["a:1 0"], LoadRun.Spread(layout[..1], 2, mayShare: false)
            .Select(share => $"{share.Endpoint} {share.Partitions[0].Index}"));
        // Fewer connections than brokers: one for each broker.
        Assert.Equal(["a:1", "b:1"], LoadRun.Spread(layout, 1).Select(share => share.Endpoint));
    }

    [Fact]
    public void Processor_time_is_read_for_any_process_name() =>
        Assert.Equal(3.5, ProcessorTime.Parse("42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 300 50 0 0 20 0 9 0 5000"));
}
