using System.Globalization;
using Orleans.Streams;

namespace OrleansMq.Streams;

/// <summary>The position of an event: partition and offset. It stays valid for as long as the topic keeps the event. Positions of one
/// partition are ordered, and all events of a stream are in one partition unless a producer chose another.</summary>
[GenerateSerializer, Immutable, Alias("omq.StreamOffset")]
public sealed class StreamOffset : StreamSequenceToken
{
    /// <summary>The position of the earliest event of a stream that its topic keeps: before that of every event.</summary>
    public static StreamOffset Earliest { get; } = new(0, 0) { Partition = -1 };

    /// <summary>Creates a position.</summary>
    /// <param name="partition">The partition, 0 or above.</param>
    /// <param name="offset">The offset, 0 or above.</param>
    public StreamOffset(int partition, long offset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(partition);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        (Partition, Offset) = (partition, offset);
    }

    /// <summary>The partition; -1 of <see cref="Earliest"/>.</summary>
    [Id(0)]
    public int Partition { get; private set; }

    /// <summary>The offset in the partition.</summary>
    [Id(1)]
    public long Offset { get; private set; }

    /// <summary>The offset.</summary>
    public override long SequenceNumber
    {
        get => Offset;
        protected set => Offset = value;
    }

    /// <summary>Always 0: every event has an offset of its own.</summary>
    public override int EventIndex
    {
        get => 0;
        protected set => ArgumentOutOfRangeException.ThrowIfNotEqual(value, 0);
    }

    /// <inheritdoc/>
    public override bool Equals(StreamSequenceToken? other) =>
        other is StreamOffset position && position.Partition == Partition && position.Offset == Offset;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as StreamSequenceToken);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Partition, Offset);

    /// <summary>Compares two positions: by partition, then by offset.</summary>
    /// <exception cref="ArgumentException">The other is a token of another kind of provider.</exception>
    public override int CompareTo(StreamSequenceToken? other) => other switch
    {
        null => 1,
        StreamOffset position => (Partition, Offset).CompareTo((position.Partition, position.Offset)),
        _ => throw new ArgumentException($"A {nameof(StreamOffset)} cannot be compared with a {other.GetType().Name}: it comes from "
            + "another kind of stream provider.", nameof(other)),
    };

    /// <inheritdoc/>
    public override string ToString() => Partition < 0 ? "earliest" : string.Create(CultureInfo.InvariantCulture, $"{Partition}@{Offset}");
}
