using OrleansMq.Api;
using OrleansMq.Log;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

// Reading: no lock, and nothing that an append waits for.
public sealed partial class Partition
{
    /// <summary>Timers take no more than some weeks; who waits longer sets another.</summary>
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(1);

    /// <summary>Reads batches. See <see cref="IBroker.FetchAsync"/>.</summary>
    public ValueTask<FetchResult> ReadAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<FetchResult>(cancellationToken);
        var result = ReadNow(request, out var enough);
        if (enough || request.MaxWait <= TimeSpan.Zero)
            return new(result);
        result.Dispose();
        return WaitAndReadAsync(request, cancellationToken);
    }

    /// <summary>Finds an offset.</summary>
    public OffsetResult FindOffset(OffsetSpec spec)
    {
        if (RefuseRead(out var refusal) is not ErrorCode.None and var refused)
            return new OffsetResult(refused, -1, Message: refusal);
        if (spec == OffsetSpec.Earliest)
            return new OffsetResult(ErrorCode.None, LogStartOffset, LeaderEpoch: EpochOf(LogStartOffset));
        if (!_replication.KnowsLatest)
            return new OffsetResult(ErrorCode.OffsetNotAvailable, -1,
                Message: $"The new leader of {TopicPartition} does not know yet how far its "
                + "replicas are. Retry.");
        if (spec == OffsetSpec.Latest)
            return new OffsetResult(ErrorCode.None, HighWatermark, LeaderEpoch: LeaderEpoch);
        if (spec.Value < 0 && spec != OffsetSpec.MaxTimestamp)
            return new OffsetResult(ErrorCode.InvalidRequest, -1,
                Message: $"{spec.Value} names no offset; use a time in milliseconds since 1970, -1 (latest), "
                + "-2 (earliest) or -3 (largest timestamp).");
        try
        {
            var found = spec == OffsetSpec.MaxTimestamp ? _log!.FindMaxTimestamp(HighWatermark)
                : _log!.FindAtOrAfter(spec.Value, HighWatermark);
            return found is { } record
                ? new OffsetResult(ErrorCode.None, record.Offset, record.Timestamp, record.LeaderEpoch)
                : new OffsetResult(ErrorCode.None, -1);
        }
        catch (CodecUnavailableException fault)
        {
            return new OffsetResult(ErrorCode.UnsupportedCompressionType, -1, Message: fault.Message);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            return new OffsetResult(ErrorCode.KafkaStorageError, -1, Message: FailRead(fault));
        }
    }

    /// <summary>Where the records of an epoch end in this log, as a reader or follower asks after the epoch of the last record it has: the
    /// largest epoch at or below <paramref name="epoch"/> with the offset after its last record. <see cref="LeaderEpochCache.None"/> for an
    /// epoch that is not known yet.</summary>
    public LeaderEpochEntry EndOffsetOf(int epoch)
    {
        if (_epochs is null || _log is null || epoch < 0)
            return LeaderEpochCache.None;
        if (_epochs.Latest.Epoch >= 0)
            return _epochs.EndOffsetFor(epoch, LogEndOffset);
        // Nobody ever claimed it: all there is was written in the one epoch.
        return epoch == LeaderEpoch ? new LeaderEpochEntry(epoch, LogEndOffset)
            : epoch < LeaderEpoch ? new LeaderEpochEntry(epoch, LogStartOffset) : LeaderEpochCache.None;
    }

    /// <summary>Whether a reader's view of the leader's epoch is this partition's (KIP-320).</summary>
    /// <param name="readerEpoch">The epoch that the reader has met; negative: not checked.</param>
    public ErrorCode CheckEpoch(int readerEpoch) => ReaderEpoch.Check(readerEpoch, LeaderEpoch);

    /// <summary>Whether it can be read from here now.</summary>
    /// <param name="message">Why not, and what to do.</param>
    /// <returns><see cref="ErrorCode.None"/>, or why not.</returns>
    public ErrorCode CanRead(out string message) => RefuseRead(out message);

    private async ValueTask<FetchResult> WaitAndReadAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        var clock = _ports.Log.Time;
        var started = clock.GetTimestamp();
        while (true)
        {
            using var waiter = _waiters.Arm();
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

    /// <param name="request">What to read.</param>
    /// <param name="enough">Whether there is no reason to wait: an error, as many bytes as wanted, or more to read behind them.</param>
    private FetchResult ReadNow(in FetchRequest request, out bool enough)
    {
        enough = true;
        if (RefuseRead(out var refusal) is not ErrorCode.None and var refused)
            return FetchResult.Failed(refused, refusal);
        var start = LogStartOffset;
        var limit = HighWatermark;
        if (request.Offset < start || request.Offset > LogEndOffset)
            return OutOfRange(request, start, limit);
        (BatchBuffer? Batches, LogSlice? Slice) read = default;
        if (request.Offset < limit)
        {
            try
            {
                read = request.AllowsSlice ? _log!.ReadOrSlice(request.Offset, limit, request.MaxBytes)
                    : (_log!.Read(request.Offset, limit, request.MaxBytes), null);
            }
            catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
            {
                return FetchResult.Failed(ErrorCode.KafkaStorageError, FailRead(fault), limit, limit, start);
            }
        }
        start = LogStartOffset;
        if (request.Offset < start)
        {
            // Its records went while it was read: what was found instead begins further on, and must not pass for what was asked for.
            read.Batches?.Dispose();
            read.Slice?.Dispose();
            return OutOfRange(request, start, limit);
        }
        var result = read.Slice is { } slice ? new FetchResult(limit, limit, start, slice)
            : new FetchResult(ErrorCode.None, limit, limit, start, read.Batches?.Memory ?? default, read.Batches);
        var nextOffset = read.Slice?.NextOffset ?? read.Batches?.NextOffset ?? limit;
        enough = request.MinBytes <= 0
            || (result.Length > 0 && (result.Length >= Math.Min(request.MinBytes, request.MaxBytes) || nextOffset < limit));
        return result;
    }

    private ErrorCode RefuseRead(out string message)
    {
        var refused = Refusal(out message);
        return refused != ErrorCode.None ? refused : _replication.RefuseRead(out message);
    }

    private FetchResult OutOfRange(in FetchRequest request, long start, long limit) => FetchResult.Failed(ErrorCode.OffsetOutOfRange,
        $"Offset {request.Offset} of {TopicPartition} is outside {start} to {limit}.", limit, limit, start);

    /// <summary>A read that fails speaks of damage: what was acknowledged cannot be given out.</summary>
    private string FailRead(Exception fault)
    {
        if (Refusal(out var refusal) != ErrorCode.None)
            return refusal;
        var reason = StorageFaults.Describe(_log!.Directory, fault);
        GoOffline(reason, fault);
        return reason;
    }

    private int EpochOf(long offset) => _epochs!.EpochOf(offset) is >= 0 and var epoch ? epoch : LeaderEpoch;
}
