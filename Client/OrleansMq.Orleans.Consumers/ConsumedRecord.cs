using System.Text;

namespace OrleansMq.Consumers;

/// <summary>A record that a grain consumes, without its value.</summary>
/// <param name="Position">Where it stands, for <see cref="ProcessedOffsets"/>.</param>
public sealed record ConsumedRecord(RecordPosition Position)
{
    /// <summary>Its topic.</summary>
    public string Topic { get; init; } = "";

    /// <summary>Its partition.</summary>
    public int Partition => Position.Partition;

    /// <summary>Its offset in the partition.</summary>
    public long Offset => Position.Offset;

    /// <summary>Its timestamp.</summary>
    public DateTimeOffset Time { get; init; }

    /// <summary>Its key.</summary>
    public ReadOnlyMemory<byte> Key { get; init; }

    /// <summary>Its headers, in order.</summary>
    public IReadOnlyList<RecordHeader> Headers { get; init; } = [];

    /// <summary>The number of this attempt, from 1. The death of a silo that delivered it counts as an attempt.</summary>
    public int Attempt { get; init; } = 1;

    /// <summary>Whether it may have been delivered before.</summary>
    public bool IsRedelivered { get; init; }

    /// <summary>Whether <see cref="ProcessedOffsets"/> had its effect.</summary>
    internal bool IsSkipped { get; set; }

    /// <summary>Returns the last header of a name as text; null if there is none.</summary>
    /// <param name="name">The name.</param>
    public string? FindHeader(string name)
    {
        var wanted = Encoding.UTF8.GetBytes(name);
        for (var index = Headers.Count - 1; index >= 0; index--)
        {
            if (Headers[index].Key.Span.SequenceEqual(wanted))
                return Headers[index].Value is { } value ? Encoding.UTF8.GetString(value.Span) : null;
        }
        return null;
    }
}
