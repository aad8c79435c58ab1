using OrleansMq.Api;
using OrleansMq.Log;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

/// <summary>
/// A partition's reads: fetches, which may wait, and lookups of offsets and epochs.
/// </summary>
/// <remarks>
/// State: the waiting readers (<see cref="FetchWaiters"/>, with a lock of its own). Reads take no other lock, and appends do not wait for
/// them.
/// <para>Failures: a fault of the storage fails the read and takes the partition offline, since acknowledged records cannot be read. The
/// waiting readers then wake and report the reason.</para>
/// </remarks>
internal sealed class PartitionReader(Partition partition)
{
    /// <summary>A timer runs for some weeks at most. A longer wait sets one timer after another.</summary>
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(1);

    /// <summary>The readers that wait for records.</summary>
    public FetchWaiters Waiters { get; } = new();

    /// <inheritdoc cref="Partition.ReadAsync"/>
    public ValueTask<FetchResult> ReadAsync(in FetchRequest request, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<FetchResult>(cancellationToken);
        var result = ReadNow(request, out var enough);
        if (enough || request.MaxWait <= TimeSpan.Zero)
            return new(result);
        result.Dispose();
        return WaitAndReadAsync(request, cancellationToken);
    }

    /// <inheritdoc cref="Partition.FindOffset"/>
    public OffsetResult FindOffset(OffsetSpec spec)
    {
        if (Refuse(out var refusal) is not ErrorCode.None and var refused)
            return new OffsetResult(refused, -1, Message: refusal);
        var start = partition.LogStartOffset;
        if (spec.IsAt(OffsetSpec.Earliest))
            return new OffsetResult(ErrorCode.None, start, LeaderEpoch: EpochOf(start));
        // Before the end that it is told with: a later leader has at least that.
        var epoch = partition.LeaderEpoch;
        if (!partition.Replication.KnowsLatest)
            return new OffsetResult(ErrorCode.OffsetNotAvailable, -1,
                Message: $"The new leader of {partition.TopicPartition} does not know yet how far its replicas are. Retry.");
        var limit = partition.HighWatermark;
        if (spec.Isolation == IsolationLevel.ReadCommitted)
            limit = partition.StableOffset(limit);
        // What was read may be of two leaderships, if one has ended meanwhile.
        if (partition.LeaderEpoch != epoch || Refuse(out _) != ErrorCode.None)
            return new OffsetResult(ErrorCode.OffsetNotAvailable, -1,
                Message: $"The leader of {partition.TopicPartition} has changed meanwhile. Retry.");
        if (spec.IsAt(OffsetSpec.Latest))
            return new OffsetResult(ErrorCode.None, limit, LeaderEpoch: epoch);
        if (spec.IsAt(OffsetSpec.LatestProven))
        {
            return partition.Replication.IsSoleLeader
                ? new OffsetResult(ErrorCode.None, limit, LeaderEpoch: epoch)
                : new OffsetResult(ErrorCode.OffsetNotAvailable, -1,
                    Message: $"The leader of {partition.TopicPartition} cannot prove yet that no other one answers: the lease of an "
                    + "earlier one may last, or fewer replicas than min.insync.replicas are in sync. Retry.");
        }
        if (spec.Value < 0 && !spec.IsAt(OffsetSpec.MaxTimestamp))
            return new OffsetResult(ErrorCode.InvalidRequest, -1,
                Message: $"{spec.Value} names no offset; use a time in milliseconds since 1970, -1 (latest), "
                + "-2 (earliest) or -3 (largest timestamp).");
        try
        {
            var log = partition.Log!;
            var found = spec.IsAt(OffsetSpec.MaxTimestamp) ? log.FindMaxTimestamp(limit) : log.FindAtOrAfter(spec.Value, limit);
            return found is { } record
                ? new OffsetResult(ErrorCode.None, record.Offset, record.Timestamp, record.LeaderEpoch)
                : new OffsetResult(ErrorCode.None, -1);
        }
        catch (CodecUnavailableException fault)
        {
            return new OffsetResult(ErrorCode.UnsupportedCompressionType, -1, Message: fault.Message);
        }
        catch (RecordBatchException fault) when (fault.Error == RecordBatchError.Busy)
        {
            return new OffsetResult(fault.Error.ToErrorCode(), -1, Message: fault.Message);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            return new OffsetResult(ErrorCode.KafkaStorageError, -1, Message: Fail(fault));
        }
    }

    /// <inheritdoc cref="Partition.EndOffsetOf"/>
    public LeaderEpochEntry EndOffsetOf(int epoch)
    {
        if (partition.Epochs is not { } epochs || epoch < 0)
            return LeaderEpochCache.None;
        if (epochs.Latest.Epoch >= 0)
            return epochs.EndOffsetFor(epoch, partition.LogEndOffset);
        // No leader ever claimed the partition: all records belong to its one epoch.
        var current = partition.LeaderEpoch;
        return epoch == current ? new LeaderEpochEntry(epoch, partition.LogEndOffset)
            : epoch < current ? new LeaderEpochEntry(epoch, partition.LogStartOffset) : LeaderEpochCache.None;
    }

    /// <summary>Returns the refusal of a read; <see cref="ErrorCode.None"/> if it can be served here now.</summary>
    public ErrorCode Refuse(out string message)
    {
        var refused = partition.Availability.Refuse(out message);
        return refused != ErrorCode.None ? refused : partition.Replication.RefuseRead(out message);
    }

    private async ValueTask<FetchResult> WaitAndReadAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        var clock = partition.Ports.Log.Time;
        var started = clock.GetTimestamp();
        while (true)
        {
            using var waiter = Waiters.Arm();
            var result = ReadNow(request, out var enough);
            var left = request.MaxWait - clock.GetElapsedTime(started);
            if (enough || left <= TimeSpan.Zero)
                return result;
            var missing = Math.Min(request.MinBytes, request.MaxBytes) - result.Length;
            result.Dispose();
            await waiter.WaitAsync(Math.Max(missing, 1), left < LongestTimer ? left : LongestTimer, clock,
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <param name="request">The request.</param>
    /// <param name="enough">Whether there is no reason to wait: an error, enough bytes, or more records behind them.</param>
    private FetchResult ReadNow(in FetchRequest request, out bool enough)
    {
        enough = true;
        if (Refuse(out var refusal) is not ErrorCode.None and var refused)
            return FetchResult.Failed(refused, refusal);
        var log = partition.Log!;
        var start = log.LogStartOffset;
        // Before the end that it is told with: a later leader has at least that.
        var epoch = partition.LeaderEpoch;
        var highWatermark = partition.HighWatermark;
        // With the same high watermark: it may pass a marker meanwhile.
        var stable = partition.StableOffset(highWatermark);
        var isCommitted = request.Isolation == IsolationLevel.ReadCommitted;
        var limit = isCommitted ? stable : highWatermark;
        if (request.Offset < start || request.Offset > log.LogEndOffset)
            return OutOfRange(request, epoch, start, highWatermark, stable);
        var segments = log.Segments;
        (BatchBuffer? Batches, LogSlice? Slice) read = default;
        if (request.Offset < limit)
        {
            try
            {
                var isWhole = !isCommitted || request.NamesAborted;
                read = request.AllowsSlice && isWhole ? log.ReadOrSlice(request.Offset, limit, request.MaxBytes)
                    : (log.Read(request.Offset, limit, request.MaxBytes), null);
            }
            catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
            {
                return FetchResult.Failed(ErrorCode.KafkaStorageError, Fail(fault), highWatermark, stable, start);
            }
        }
        start = log.LogStartOffset;
        if (request.Offset < start)
        {
            // The requested records were removed during the read. What was found begins at a later offset and must not be returned.
            read.Batches?.Dispose();
            read.Slice?.Dispose();
            return OutOfRange(request, epoch, start, highWatermark, stable);
        }
        var result = read.Slice is { } slice ? new FetchResult(highWatermark, stable, start, slice)
            : new FetchResult(ErrorCode.None, highWatermark, stable, start, read.Batches?.Memory ?? default, read.Batches);
        var nextOffset = read.Slice?.NextOffset ?? read.Batches?.NextOffset ?? limit;
        if (isCommitted && result.Length > 0 && !TryNoteAborted(result, segments, request.Offset, nextOffset, out var failed))
        {
            result.Dispose();
            return failed ?? ReadNow(request, out enough);
        }
        if (!request.NamesAborted && result.Aborted.Count > 0)
            result.CutTo(AbortedRecords.Of(result.Aborted).LeaveOut(read.Batches!.Memory.Span));
        enough = request.MinBytes <= 0
            || (result.Length > 0 && (result.Length >= Math.Min(request.MinBytes, request.MaxBytes) || nextOffset < limit));
        return result;
    }

    // False where the read fails, or where it must begin again.
    private bool TryNoteAborted(FetchResult result, IReadOnlyList<Segment> segments, long from, long end, out FetchResult? failed)
    {
        failed = null;
        try
        {
            if (partition.Log!.FindAborted(segments, from, end) is not { } aborted)
                return false;
            result.Aborted = aborted;
            return true;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            failed = FetchResult.Failed(ErrorCode.KafkaStorageError, Fail(fault), result.HighWatermark, result.LastStableOffset,
                result.LogStartOffset);
            return false;
        }
    }

    private FetchResult OutOfRange(in FetchRequest request, int epoch, long start, long highWatermark, long stable) => new(
        ErrorCode.OffsetOutOfRange, highWatermark, stable, start, default, null,
        $"Offset {request.Offset} of {partition.TopicPartition} is outside {start} to {highWatermark}.")
    {
        LeaderEpoch = epoch,
    };

    // A read that fails is a sign of damage, unless the file could not even be opened.
    private string Fail(Exception fault)
    {
        if (partition.Availability.Refuse(out var refusal) != ErrorCode.None)
            return refusal;
        if (StorageFaults.Passes(fault))
            return StorageFaults.DescribeUnread(fault);
        var reason = StorageFaults.Describe(partition.Log!.Directory, fault);
        partition.GoOffline(reason, fault);
        return reason;
    }

    private int EpochOf(long offset) => partition.Epochs!.EpochOf(offset) is >= 0 and var epoch ? epoch : partition.LeaderEpoch;
}
