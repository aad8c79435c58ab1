using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Access;

/// <summary>Counts the records of batches by their headers.</summary>
internal static class RecordCounts
{
    /// <summary>The records of one batch, as its header says; 0 where it is too short for one.</summary>
    public static int OfBatch(ReadOnlySpan<byte> batch) =>
        batch.Length >= RecordBatchHeader.Size ? RecordBatchHeader.Read(batch).RecordCount : 0;

    /// <summary>The records of what was read.</summary>
    public static int Of(FetchResult fetched)
    {
        // The offsets of a slice have no gaps.
        if (fetched.Slice is { } slice)
            return (int)(slice.NextOffset - slice.FirstOffset);
        var count = 0;
        var batches = fetched.Records.Span;
        while (batches.Length >= RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(batches);
            count += header.RecordCount;
            batches = batches[Math.Min(header.SizeInBytes, batches.Length)..];
        }
        return count;
    }
}
