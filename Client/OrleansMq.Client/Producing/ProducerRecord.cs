using System.Text;

namespace OrleansMq.Client;

/// <summary>A record to send.</summary>
/// <typeparam name="TKey">The type of its key.</typeparam>
/// <typeparam name="TValue">The type of its value.</typeparam>
/// <param name="Topic">The topic, which must exist.</param>
/// <param name="Key">The key; null for a record without one. Records of one key stay in order.</param>
/// <param name="Value">The value; null is a tombstone, which deletes the key in a compacted topic.</param>
public readonly record struct ProducerRecord<TKey, TValue>(string Topic, TKey Key, TValue Value)
{
    /// <summary>The partition; null to let the partitioner choose.</summary>
    public int? Partition { get; init; }

    /// <summary>The record's time; null for now. Stored with millisecond precision.</summary>
    public DateTimeOffset? Timestamp { get; init; }

    /// <summary>The record's headers; an array can be assigned. See <see cref="RecordHeaders.Text"/>.</summary>
    public ReadOnlyMemory<RecordHeader> Headers { get; init; }

    /// <summary>The message's id, 1 to 256 bytes as UTF-8; null for none. It is sent as the header <see cref="MessageHeaders.MessageId"/>,
    /// after <see cref="Headers"/>. Where the topic has <c>dedupe.window.ms</c>, a record with an id that its partition has seen within
    /// that time is reported as delivered and is not appended. Give records of one id one partition or key.</summary>
    public string? MessageId { get; init; }

    /// <summary>Whether the record must survive a power cut; true by default. Where the topic's flush policy is <c>sync</c>, a record that
    /// need not is acknowledged as soon as all in-sync replicas have it in memory (<see cref="Acks.Replicated"/>), if every record of its
    /// batch is of that kind and <see cref="ProducerOptions.Acks"/> is <see cref="Acks.All"/>. Records of one partition are reported in
    /// order, so it may wait for an earlier one that must survive. It is sent with the header <see cref="MessageHeaders.Persistent"/>,
    /// <c>false</c>.</summary>
    public bool IsPersistent
    {
        get => !_isTransient;
        init => _isTransient = !value;
    }

    // So that a record without an initializer is persistent.
    private readonly bool _isTransient;
}

/// <summary>Converts headers from and to text.</summary>
public static class RecordHeaders
{
    /// <summary>Creates a header with a text value, as UTF-8; null stays null.</summary>
    public static RecordHeader Text(string name, string? value) =>
        new(Encoding.UTF8.GetBytes(name), value is null ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(value));

    /// <summary>Returns the name of a header as text.</summary>
    public static string Name(this RecordHeader header) => Encoding.UTF8.GetString(header.Key.Span);

    /// <summary>Returns the value of a header as text; null stays null.</summary>
    public static string? TextValue(this RecordHeader header) => header.Value is { } value ? Encoding.UTF8.GetString(value.Span) : null;
}
