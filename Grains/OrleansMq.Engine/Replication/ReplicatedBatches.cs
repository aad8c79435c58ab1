using OrleansMq.Records;

namespace OrleansMq.Replication;

/// <summary>Record batches, contiguous as in a log or a push.</summary>
internal static class ReplicatedBatches
{
    /// <summary>Adds each batch to a list, by its header alone. False if the bytes are not whole batches in the order of their
    /// offsets.</summary>
    public static bool TrySplit(ReadOnlyMemory<byte> bytes, List<ReplicatedBatch> into)
    {
        var next = 0L;
        while (!bytes.IsEmpty)
        {
            if (bytes.Length < RecordBatchHeader.Size)
                return false;
            var header = RecordBatchHeader.Read(bytes.Span);
            if (header.Length < RecordBatchHeader.Size - RecordBatchHeader.Overhead
                || header.Length > bytes.Length - RecordBatchHeader.Overhead
                || header.Magic != RecordBatches.Magic || header.LastOffsetDelta < 0 || header.BaseOffset < next
                || header.NextOffset <= next)
                return false;
            into.Add(new ReplicatedBatch(header.BaseOffset, header.NextOffset, header.PartitionLeaderEpoch, bytes[..header.SizeInBytes]));
            next = header.NextOffset;
            bytes = bytes[header.SizeInBytes..];
        }
        return true;
    }

    /// <summary>Checks a leader's batches, including their CRCs; returns what is wrong, or null.</summary>
    public static string? FindDamage(IReadOnlyList<ReplicatedBatch> batches)
    {
        foreach (var batch in batches)
        {
            if (RecordBatches.Validate(batch.Bytes.Span, out _) is { } fault)
                return $"the batch at offset {batch.BaseOffset}: {fault.Message}";
        }
        return null;
    }
}
