using FsCheck;
using FsCheck.Fluent;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

/// <summary>A record of a test, to compare with the content of a batch.</summary>
internal sealed record SampleRecord(long Timestamp, byte[]? Key, byte[]? Value, (byte[] Key, byte[]? Value)[] Headers)
{
    private static readonly Gen<byte[]> Bytes = Gen.OneOf(
        ArbMap.Default.GeneratorFor<byte[]>(),
        Gen.Choose(0, 300).Select(length => new byte[length]));

    private static readonly Gen<byte[]?> NullableBytes =
        Gen.Frequency((1, Gen.Constant<byte[]?>(null)), (4, Bytes.Select(b => (byte[]?)b)));

    private static readonly Gen<long> Timestamps = Gen.Frequency(
        (6, Gen.Choose(-100_000, 100_000).Select(delta => 1_700_000_000_000 + delta)),
        (1, Gen.Elements(-1L, 0L, long.MaxValue, long.MinValue)));

    private static readonly Gen<SampleRecord> One =
        from timestamp in Timestamps
        from key in NullableBytes
        from value in NullableBytes
        from headers in Gen.Frequency(
            (3, Gen.Constant(Array.Empty<(byte[], byte[]?)>())),
            (1, Bytes.SelectMany(k => NullableBytes.Select(v => (k, v))).ArrayOf()))
        select new SampleRecord(timestamp, key, value, headers);

    /// <summary>Arrays of 1 to some dozens of records.</summary>
    public static Gen<SampleRecord[]> Many { get; } = One.NonEmptyListOf().Select(records => records.ToArray());

    /// <summary>Every codec, including none.</summary>
    public static Gen<CompressionType> Codec { get; } = Gen.Elements(Enum.GetValues<CompressionType>());

    /// <summary>Builds one batch of records, in a new array.</summary>
    public static byte[] Build(IEnumerable<SampleRecord> records, CompressionType compression = CompressionType.None, long baseOffset = 0)
    {
        using var builder = new RecordBatchBuilder(compression, StandardCodecs.All, initialCapacity: 100);
        builder.SetProducer(4000, 7, 100);
        foreach (var record in records)
            record.AddTo(builder);
        var batch = builder.Build().ToArray();
        RecordBatchHeader.StampBaseOffset(batch, baseOffset);
        return batch;
    }

    /// <summary>Reads all records of some batches.</summary>
    public static List<(long Offset, SampleRecord Record)> Read(ReadOnlyMemory<byte> batches)
    {
        var records = new List<(long, SampleRecord)>();
        using var reader = new RecordReader(batches, StandardCodecs.All);
        while (reader.MoveNext())
            records.Add((reader.Current.Offset, Of(reader.Current)));
        return records;
    }

    /// <summary>Copies a record.</summary>
    public static SampleRecord Of(in OrleansMq.Records.Record record) => new(record.Timestamp, record.Key?.ToArray(),
        record.Value?.ToArray(), [.. record.ReadHeaders().Select(h => (h.Key.ToArray(), h.Value?.ToArray()))]);

    public static void AssertSame(SampleRecord expected, SampleRecord actual)
    {
        Assert.Equal(expected.Timestamp, actual.Timestamp);
        Assert.Equal(expected.Key, actual.Key);
        Assert.Equal(expected.Value, actual.Value);
        Assert.Equal(expected.Headers.Length, actual.Headers.Length);
        for (var i = 0; i < expected.Headers.Length; i++)
        {
            Assert.Equal(expected.Headers[i].Key, actual.Headers[i].Key);
            Assert.Equal(expected.Headers[i].Value, actual.Headers[i].Value);
        }
    }

    public void AddTo(RecordBatchBuilder builder)
    {
        var headers = Headers.Select(h => new RecordHeader(h.Key, h.Value is null ? (ReadOnlyMemory<byte>?)null : h.Value)).ToArray();
        builder.Add(Timestamp, Key, Key is not null, Value, Value is not null, headers);
    }

    public override string ToString() =>
        $"@{Timestamp} key {Show(Key)} value {Show(Value)} headers "
        + string.Join(", ", Headers.Select(h => Show(h.Key) + "=" + Show(h.Value)));

    private static string Show(byte[]? bytes) => bytes is null ? "null" : Convert.ToHexString(bytes);
}
