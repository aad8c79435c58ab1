using System.Globalization;
using System.Text;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Compatibility;

/// <summary>Exchanges record batches of every codec with Kafka's own code in both directions.</summary>
public class RecordExchangeTests
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Peers", "RecordExchange.java");
    private static readonly CompressionType[] Codecs = Enum.GetValues<CompressionType>();

    [SkippableFact]
    public async Task Records_written_by_Kafka_are_read()
    {
        using var directory = new TemporaryDirectory();
        var (theirs, _) = await KafkaPeer.RunAsync(Program, "write", directory.Path);
        var ours = new StringBuilder();
        foreach (var codec in Codecs)
        {
            var batch = await File.ReadAllBytesAsync(PathOf(directory, codec));
            Assert.Null(RecordBatches.ValidateProduced(batch, out _));
            Assert.Null(RecordBatches.ValidateRecords(batch, StandardCodecs.All));
            Print(codec, batch, ours);
        }
        Assert.Equal(Codecs.Length, Count(theirs, "batch"));
        Assert.Equal(theirs, ours.ToString());
    }

    [SkippableFact]
    public async Task Records_written_here_are_read_by_Kafka()
    {
        using var directory = new TemporaryDirectory();
        var ours = new StringBuilder();
        foreach (var codec in Codecs)
        {
            var batch = Sample(codec);
            await File.WriteAllBytesAsync(PathOf(directory, codec), batch);
            Print(codec, batch, ours);
        }
        var (theirs, _) = await KafkaPeer.RunAsync(Program, "read", directory.Path);
        Assert.Equal(Codecs.Length, Count(theirs, "batch"));
        Assert.Equal(ours.ToString(), theirs);
    }

    private static byte[] Sample(CompressionType codec)
    {
        var random = new Random(11);
        using var builder = new RecordBatchBuilder(codec, StandardCodecs.All);
        builder.SetProducer(70_000, 3, int.MaxValue - 100);
        for (var i = 0; i < 300; i++)
        {
            var value = new byte[random.Next(600)];
            if (i % 3 == 0)
                random.NextBytes(value);
            ReadOnlyMemory<byte>? headerValue = null;
            if (i % 2 == 0)
                headerValue = value.AsMemory(0, value.Length / 2);
            RecordHeader[] headers = i % 4 == 0 ? [] : [new(Encoding.UTF8.GetBytes("ü" + i), headerValue)];
            var timestamp = 1_700_000_000_000 + random.Next(-5000, 5000);
            builder.Add(timestamp, value.AsSpan(0, value.Length / 3), i % 5 != 0, value, i % 7 != 0, headers);
        }
        var batch = builder.Build();
        RecordBatchHeader.StampBaseOffset(batch.Span, 3_000_000_000);
        return batch.ToArray();
    }

    private static void Print(CompressionType codec, ReadOnlyMemory<byte> batch, StringBuilder output)
    {
        var header = RecordBatchHeader.Read(batch.Span);
        var name = codec.ToString().ToLowerInvariant();
        output.Append(CultureInfo.InvariantCulture, $"batch {name} {header.Compression.ToString().ToLowerInvariant()} {header.ProducerId}");
        output.Append(CultureInfo.InvariantCulture,
            $" {header.ProducerEpoch} {header.BaseSequence} {header.LastSequence} {header.MaxTimestamp}\n");
        using var reader = new RecordReader(batch, StandardCodecs.All);
        while (reader.MoveNext())
        {
            var record = reader.Current;
            output.Append(CultureInfo.InvariantCulture, $"{record.Offset} {record.Timestamp} {Hex(record.Key)} {Hex(record.Value)}");
            foreach (var item in record.ReadHeaders())
                output.Append(CultureInfo.InvariantCulture, $" {Encoding.UTF8.GetString(item.Key.Span)}={Hex(item.Value)}");
            output.Append('\n');
        }
    }

    private static string PathOf(TemporaryDirectory directory, CompressionType codec) =>
        Path.Combine(directory.Path, codec.ToString().ToLowerInvariant() + ".batch");

    private static string Hex(ReadOnlyMemory<byte>? bytes) => bytes is null ? "null" : "x" + Convert.ToHexStringLower(bytes.Value.Span);

    private static int Count(string output, string word) =>
        output.Split('\n').Count(line => line.StartsWith(word, StringComparison.Ordinal));
}
