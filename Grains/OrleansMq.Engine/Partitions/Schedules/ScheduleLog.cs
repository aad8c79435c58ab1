using OrleansMq.Records;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>Reads the log of a partition of schedules, below the high watermark.</summary>
internal static class ScheduleLog
{
    // All timers are in memory, however far ahead: some 60 bytes each, no matter how large their records are. So a schedule is found by its
    // id alone, and no file needs to agree with the log.
    private const long OneBucketMs = long.MaxValue / 4;
    private const int MostBytesAtOnce = 1 << 20;

    /// <summary>Derives the state from the whole log.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    /// <exception cref="InvalidDataException">A record is none of the schedules, or of a later version.</exception>
    public static ScheduleState ReadState(Partition partition, CancellationToken cancellationToken)
    {
        var state = new ScheduleState(new TimerWheel(new MemoryTimerBuckets(), OneBucketMs, 0));
        var end = partition.HighWatermark;
        for (var from = Math.Max(partition.LogStartOffset, 0); from < end;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            using var read = partition.Log!.Read(from, end, MostBytesAtOnce);
            if (read is null)
                break;
            for (ReadOnlyMemory<byte> batches = read.Memory; !batches.IsEmpty;)
            {
                var header = RecordBatchHeader.Read(batches.Span);
                if (header.NextOffset > from && !header.IsControl && header.RecordCount > 0)
                    Apply(partition, batches[..header.SizeInBytes], from, state);
                from = Math.Max(from, header.NextOffset);
                batches = batches[header.SizeInBytes..];
            }
        }
        return state;
    }

    /// <summary>Reads what is scheduled, each batch once.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="timers">The timers. The log is compacted, but has the last record of each key.</param>
    /// <param name="take">Takes the content of a timer, in the order of the log; its memory is valid during the call. Null: the log has it
    /// no more, since its schedule ended meanwhile.</param>
    /// <param name="cancellationToken">Ends the reading between two batches.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    /// <exception cref="InvalidDataException">A record is none of the schedules.</exception>
    public static void ReadPayloads(Partition partition, IReadOnlyList<ScheduledTimer> timers, Action<int, ScheduledPayload?> take,
        CancellationToken cancellationToken = default) => ReadValues(partition, timers,
            (index, value) => take(index, value is { } some ? ScheduledPayload.Decode(some) : null), cancellationToken);

    /// <summary>Reads what is scheduled, as it is encoded: see <see cref="ReadPayloads"/>.</summary>
    public static void ReadValues(Partition partition, IReadOnlyList<ScheduledTimer> timers, Action<int, ReadOnlyMemory<byte>?> take,
        CancellationToken cancellationToken = default)
    {
        var order = Enumerable.Range(0, timers.Count).OrderBy(index => timers[index].Reference).ToArray();
        for (var next = 0; next < order.Length;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var from = timers[order[next]].Reference;
            using var read = partition.Log!.Read(from, partition.HighWatermark, maxBytes: 1);
            var header = read is null ? default : RecordBatchHeader.Read(read.Memory.Span);
            if (read is null || header.BaseOffset > from)
            {
                take(order[next++], null);
                continue;
            }
            using var reader = new RecordReader(read.Memory[..header.SizeInBytes], partition.Ports.Log.Codecs, verifyCrc: false);
            var hasRecord = reader.MoveNext();
            for (; next < order.Length && timers[order[next]].Reference <= header.LastOffset; next++)
            {
                var timer = timers[order[next]];
                while (hasRecord && reader.Current.Offset < timer.Reference)
                    hasRecord = reader.MoveNext();
                take(order[next], hasRecord && reader.Current.Offset == timer.Reference && reader.Current.Value is { } value
                    && IsOf(timer.Handle, reader.Current.Key.GetValueOrDefault().Span) ? value : null);
            }
        }
    }

    private static bool IsOf(ScheduleHandle handle, ReadOnlySpan<byte> key) => !key.IsEmpty && key[0] == ScheduleRecords.Scheduled
        && ScheduleRecords.ReadHandle(key) == handle;

    private static void Apply(Partition partition, ReadOnlyMemory<byte> batch, long from, ScheduleState state)
    {
        using var reader = new RecordReader(batch, partition.Ports.Log.Codecs);
        while (reader.MoveNext())
        {
            var record = reader.Current;
            if (record.Offset >= from)
                state.Apply(record.Offset, new ScheduleRecord(record.Key.GetValueOrDefault().ToArray(), record.Value));
        }
    }
}
