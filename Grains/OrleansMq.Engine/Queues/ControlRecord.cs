using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Queues;

/// <summary>The one record of a control batch of this broker. Its key is exactly four bytes: version i16 = 0 and the type i16. Kafka's
/// clients skip control batches of types that they do not know. Kafka reserves the types 0 to 6.</summary>
internal static class ControlRecord
{
    private const int KeyBytes = 4;

    /// <summary>Whether a control record has a type.</summary>
    public static bool IsKey(ReadOnlySpan<byte> key, short type) =>
        key.Length == KeyBytes && BinaryPrimitives.ReadInt16BigEndian(key) == 0 && BinaryPrimitives.ReadInt16BigEndian(key[2..]) == type;

    /// <summary>Finds the record of a type in a batch.</summary>
    /// <param name="header">The batch's header.</param>
    /// <param name="batch">The batch; its CRC is known to be right.</param>
    /// <param name="type">The type.</param>
    /// <param name="value">The record's value.</param>
    /// <returns>False for any other batch.</returns>
    public static bool TryFind(in RecordBatchHeader header, ReadOnlySpan<byte> batch, short type, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (!header.IsControl || header.HasProducer || header.Compression != CompressionType.None || header.RecordCount != 1)
            return false;
        var records = batch[RecordBatchHeader.Size..header.SizeInBytes];
        var position = 0;
        if (RecordLayout.TryRead(records, ref position, out var record) is not null || record.KeyLength < 0 || record.ValueLength < 0
            || !IsKey(records.Slice(record.KeyStart, record.KeyLength), type))
            return false;
        value = records.Slice(record.ValueStart, record.ValueLength);
        return true;
    }

    /// <summary>Adds the record to an empty, uncompressed builder without producer.</summary>
    /// <param name="batch">The builder.</param>
    /// <param name="timestamp">The record's time, in milliseconds since 1970.</param>
    /// <param name="type">The type.</param>
    /// <param name="value">The record's value.</param>
    public static void AddTo(RecordBatchBuilder batch, long timestamp, short type, ReadOnlySpan<byte> value)
    {
        Span<byte> key = stackalloc byte[KeyBytes];
        key.Clear();
        BinaryPrimitives.WriteInt16BigEndian(key[2..], type);
        batch.Add(timestamp, key, hasKey: true, value, hasValue: true);
        batch.SetControl();
    }
}
