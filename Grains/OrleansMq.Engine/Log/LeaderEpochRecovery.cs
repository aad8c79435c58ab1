using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

/// <summary>
/// Opens a log's <see cref="LeaderEpochCache"/>, and finds the epochs in the batches if the file is lost, damaged or older than the log.
/// Without its epochs a log would seem to agree with every leader, and a diverged tail would count.
/// </summary>
internal static class LeaderEpochRecovery
{
    /// <summary>Opens the cache of a log that is open.</summary>
    /// <exception cref="InvalidDataException">The epochs are lost, and the batches do not tell where each began.</exception>
    public static LeaderEpochCache Open(LogPorts ports, SegmentedLog log)
    {
        var found = TryOpen(ports, log, out var damage);
        var last = LastEpoch(log);
        if (found is not null && last <= Math.Max(found.Latest.Epoch, 0))
            return found;
        var path = Path.Combine(log.Directory, LeaderEpochCache.FileName);
        if (FindEpochs(log) is not { } entries)
            throw new InvalidDataException($"{damage ?? $"'{path}' lacks epoch {last}, which the log has."} The batches do not tell where "
                + "each epoch began, since compaction removed some of them. Restore the file from a copy, or leave the repair to the other "
                + $"replicas. If this is the last copy, write the lines '0', '1' and '{last} {log.LogStartOffset}' to the file.");
        ports.EngineLog.Write(EngineLogLevel.Warning,
            $"{damage ?? $"'{path}' is lost, or older than the log."} Its epochs were found in the log's batches.");
        var rebuilt = LeaderEpochCache.Create(ports.Files, log.Directory, entries);
        rebuilt.TruncateFromStart(log.LogStartOffset);
        return rebuilt;
    }

    private static LeaderEpochCache? TryOpen(LogPorts ports, SegmentedLog log, out string? damage)
    {
        damage = null;
        try
        {
            return LeaderEpochCache.Open(ports.Files, log.Directory);
        }
        catch (InvalidDataException fault)
        {
            damage = fault.Message;
            return null;
        }
    }

    // The CRC does not cover a batch's epoch. No batch is of a later epoch than the fence, once there is one.
    private static int LastEpoch(SegmentedLog log)
    {
        var epoch = log.Segments.LastOrDefault(static segment => segment.Size > 0)?.FindLast()?.PartitionLeaderEpoch ?? -1;
        var fence = log.Marks.Fence;
        return fence > 0 && epoch > fence ? -1 : epoch;
    }

    /// <summary>Returns each epoch with its first batch's offset. Null if epochs go back, or if compaction left a hole before that
    /// batch: then the epoch began anywhere in the hole.</summary>
    private static LeaderEpochEntry[]? FindEpochs(SegmentedLog log)
    {
        var entries = new List<LeaderEpochEntry>();
        var (latest, end) = (-1, log.Segments[0].BaseOffset);
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        foreach (var segment in log.Segments)
        {
            using var lease = segment.Log.Rent();
            var walker = new BatchWalker(lease.File, 0, segment.Size, buffer);
            while (walker.TryMoveNext())
            {
                var batch = walker.Header;
                if (batch.PartitionLeaderEpoch < latest)
                    return null;
                if (batch.PartitionLeaderEpoch > latest)
                {
                    if (batch.BaseOffset != end)
                        return null;
                    latest = batch.PartitionLeaderEpoch;
                    entries.Add(new LeaderEpochEntry(latest, end));
                }
                end = batch.NextOffset;
            }
        }
        return [.. entries];
    }
}
