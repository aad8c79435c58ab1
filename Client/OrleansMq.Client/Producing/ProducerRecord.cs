using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>A record to send.</summary>
/// <typeparam name="TKey">The type of its key.</typeparam>
/// <typeparam name="TValue">The type of its value.</typeparam>
/// <param name="Topic">Where to. The topic must exist.</param>
/// <param name="Key">Null for a record without a key. Records of one key stay in order.</param>
/// <param name="Value">Null is a tombstone: in a compacted topic it deletes the key.</param>
public readonly record struct ProducerRecord<TKey, TValue>(string Topic, TKey Key, TValue Value)
{
    /// <summary>The partition; null to let the partitioner choose.</summary>
    public int? Partition { get; init; }

    /// <summary>The record's time; null for now. Kept in milliseconds.</summary>
    public DateTimeOffset? Timestamp { get; init; }

    /// <summary>Names and values beside the value; an array fits. See <see cref="RecordHeaders.Text"/>.</summary>
    public ReadOnlyMemory<RecordHeader> Headers { get; init; }
}

/// <summary>Headers from text and back.</summary>
public static class RecordHeaders
{
    /// <summary>A header with a text value, as UTF-8; null stays null.</summary>
    public static RecordHeader Text(string name, string? value) =>
        new(Encoding.UTF8.GetBytes(name), value is null ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(value));

    /// <summary>The name of a header, as text.</summary>
    public static string Name(this RecordHeader header) => Encoding.UTF8.GetString(header.Key.Span);

    /// <summary>The value of a header, as text; null stays null.</summary>
    public static string? TextValue(this RecordHeader header) => header.Value is { } value ? Encoding.UTF8.GetString(value.Span) : null;
}
