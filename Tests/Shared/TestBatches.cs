using System.Text;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Tests.Shared;

/// <summary>Builds record batches to produce, and reads them back.</summary>
public static class TestBatches
{
    /// <summary>2026-01-01 in milliseconds since 1970. Timestamps count up from here, a second for each record.</summary>
    public const long FirstTimestamp = 1_767_225_600_000;

    // Beyond the ids that brokers give.
    private static long s_lastProducer = 1L << 40;

    /// <summary>Builds a batch with one record for each value; the key equals the value.</summary>
    public static byte[] Of(params string[] values) => Build(FirstTimestamp, null, values);

    /// <summary>Builds a batch whose first record has this timestamp; each further one is a second later.</summary>
    public static byte[] At(long timestamp, params string[] values) => Build(timestamp, null, values);

    /// <summary>Builds a batch of an idempotent producer.</summary>
    public static byte[] From(ProducerIdentity producer, int baseSequence, params string[] values) =>
        Build(FirstTimestamp, (producer, baseSequence), values);

    /// <summary>Builds a batch of one record by a producer of its own, so that an append with an unknown outcome can be repeated: a
    /// partition stores it once.</summary>
    public static byte[] Once(string value) => From(new ProducerIdentity(Interlocked.Increment(ref s_lastProducer), 0), 0, value);

    /// <summary>Builds a batch of an open transaction.</summary>
    public static byte[] InTransaction(ProducerIdentity producer, int baseSequence, params string[] values) =>
        Build(FirstTimestamp, (producer, baseSequence), values, isTransactional: true);

    /// <summary>Builds a batch of one record with a value of that many bytes.</summary>
    public static byte[] OfSize(int valueBytes) => Of(new string('x', valueBytes));

    private static byte[] Build(long timestamp, (ProducerIdentity Identity, int Sequence)? producer, string[] values,
        bool isTransactional = false)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var value in values)
        {
            var bytes = Encoding.UTF8.GetBytes(value);
            builder.Add(timestamp, bytes, true, bytes, true);
            timestamp += 1000;
        }
        if (producer is { } from)
            builder.SetProducer(from.Identity.ProducerId, from.Identity.ProducerEpoch, from.Sequence, isTransactional);
        return builder.Build().ToArray();
    }

    /// <summary>Returns offset and value of every record.</summary>
    public static IReadOnlyList<(long Offset, string Value)> Read(ReadOnlyMemory<byte> records)
    {
        var read = new List<(long, string)>();
        using var reader = new RecordReader(records, CompressionCodecs.Empty);
        while (reader.MoveNext())
            read.Add((reader.Current.Offset, Encoding.UTF8.GetString(reader.Current.Value!.Value.Span)));
        return read;
    }
}
