using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Sample batches: records of 100 bytes like typical text, of words, numbers and ids.</summary>
internal static class Samples
{
    private const int ValueSize = 100;

    /// <summary>A topic without retention, since the samples' timestamps are old.</summary>
    public static TopicConfig Topic { get; } = TopicConfig.Default with { RetentionMs = -1 };

    /// <summary>A topic that keeps its last 512 MiB or so, for benchmarks that append endlessly.</summary>
    public static TopicConfig SmallTopic { get; } = Topic with { SegmentBytes = 256 << 20, RetentionBytes = 512 << 20,
        FileDeleteDelayMs = 0 };

    private static readonly string[] Words = ["order", "customer", "created", "paid", "Berlin", "Lyon", "express", "standard", "EUR",
        "true"];

    public static byte[] Batch(int sizeInBytes, CompressionType compression = CompressionType.None)
    {
        var random = new Random(1);
        using var builder = new RecordBatchBuilder(compression, StandardCodecs.All, sizeInBytes);
        var value = new byte[ValueSize];
        while (builder.EstimatedSize + RecordBatchBuilder.MaxRecordSize(0, ValueSize, []) <= sizeInBytes)
        {
            Fill(random, value);
            builder.Add(1_700_000_000_000 + builder.RecordCount, default, false, value, true);
        }
        return builder.Build().ToArray();
    }

    public static void Fill(Random random, Span<byte> value)
    {
        for (var at = 0; at < value.Length;)
        {
            var word = random.Next(3) == 0 ? random.Next(1_000_000).ToString() : Words[random.Next(Words.Length)];
            foreach (var letter in word)
            {
                if (at < value.Length)
                    value[at++] = (byte)letter;
            }
            if (at < value.Length)
                value[at++] = (byte)' ';
        }
    }
}
