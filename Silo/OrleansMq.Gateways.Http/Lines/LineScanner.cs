using System.Buffers;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>Finds the ends of lines. A line that arrives in many pieces is looked through once: each search goes on where the last one
/// ended.</summary>
internal struct LineScanner
{
    private long _scanned;

    /// <summary>Finds the line feed that ends the first line.</summary>
    /// <param name="buffer">What has arrived: begins with the same line as before until its end is found, and is at least as long.</param>
    /// <returns>The position of the line feed; null where it has not arrived.</returns>
    public SequencePosition? FindEnd(in ReadOnlySequence<byte> buffer)
    {
        var end = buffer.Slice(_scanned).PositionOf((byte)'\n');
        _scanned = end is null ? buffer.Length : 0;
        return end;
    }
}
