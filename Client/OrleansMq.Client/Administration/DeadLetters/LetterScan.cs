using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>Reads the newest records of some partitions, no more than a number and a <see cref="ByteBudget"/> in all. Partitions are read
/// one after the other, and of each one fetch at a time is held.</summary>
/// <param name="broker">The broker.</param>
internal sealed class LetterScan(IBroker broker)
{
    private const int FetchBytes = 1 << 20;
    private const long FirstBlock = 16;
    private const long BlockBytes = 8 << 20;
    private static readonly TimeSpan FetchWait = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RetryWait = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RetryWaitMax = TimeSpan.FromSeconds(1);

    /// <summary>How long a partition that returns nothing is retried. An operator looks on: one without a leader is reported, and not
    /// waited for.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>The offsets that a partition holds, of which those from <paramref name="Start"/> on are read.</summary>
    public sealed record Extent(TopicPartition Partition, long First, long Start, long End);

    /// <summary>Returns what the partitions of topics hold, and what of it is read. A topic that is gone by now has none.</summary>
    public async Task<IReadOnlyList<Extent>> MeasureAsync(IEnumerable<TopicListing> topics, int maxRead,
        CancellationToken cancellationToken)
    {
        var held = new List<Extent>();
        foreach (var topic in topics)
        {
            for (var number = 0; number < topic.Partitions; number++)
            {
                var partition = new TopicPartition(topic.Name, number);
                if (await FindAsync(partition, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false) is { } first
                    && await FindAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false) is { } end)
                    held.Add(new Extent(partition, first, first, Math.Max(first, end)));
            }
        }
        return Share(held, maxRead);
    }

    /// <summary>Divides a number of records over partitions evenly: what a small one does not need goes to the larger ones.</summary>
    public static IReadOnlyList<Extent> Share(IEnumerable<Extent> held, long maxRead)
    {
        var shared = held.OrderBy(static extent => extent.End - extent.First).ToArray();
        for (var at = 0; at < shared.Length; at++)
        {
            // Rounded up, so that the first of many small ones are read.
            var read = Math.Min(shared[at].End - shared[at].First, (maxRead + shared.Length - at - 1) / (shared.Length - at));
            shared[at] = shared[at] with { Start = shared[at].End - read };
            maxRead -= read;
        }
        return shared;
    }

    /// <summary>Reads the records of the extents, of each in blocks of which the newest comes first.</summary>
    /// <param name="extents">What is read.</param>
    /// <param name="budget">How many bytes are read at most.</param>
    /// <param name="onRecord">Receives each record, whose memory is valid during the call.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>False if a partition did not return all, or the budget ended before.</returns>
    /// <exception cref="BrokerException">A partition cannot be read.</exception>
    public async Task<bool> ReadAsync(IEnumerable<Extent> extents, ByteBudget budget, Action<TopicPartition, Record> onRecord,
        CancellationToken cancellationToken)
    {
        var isComplete = true;
        foreach (var extent in extents)
        {
            budget.Begin();
            isComplete &= await ReadBlocksAsync(extent, budget, onRecord, cancellationToken).ConfigureAwait(false);
        }
        return isComplete;
    }

    // Offsets do not tell bytes. A block tells how many offsets the next one may have.
    private async Task<bool> ReadBlocksAsync(Extent extent, ByteBudget budget, Action<TopicPartition, Record> onRecord,
        CancellationToken cancellationToken)
    {
        var (end, size) = (extent.End, FirstBlock);
        while (end > extent.Start)
        {
            var (block, before) = (extent with { Start = Math.Max(extent.Start, end - size), End = end }, budget.Left);
            if (await ReadAsync(block, extent.Start, budget, onRecord, cancellationToken).ConfigureAwait(false) is not { } start)
                return false;
            var bytesPerOffset = Math.Max(1, (before - budget.Left) / (end - start));
            size = Math.Max(1, Math.Min(Math.Max(size, BlockBytes / bytesPerOffset), budget.Left / bytesPerOffset));
            end = start;
        }
        return true;
    }

    /// <summary>Reads a block. One that begins inside a batch begins with that batch instead, which is decompressed as a whole.</summary>
    /// <returns>The offset that it began at, <paramref name="first"/> or above; null if not all was returned.</returns>
    private async Task<long?> ReadAsync(Extent extent, long first, ByteBudget budget, Action<TopicPartition, Record> onRecord,
        CancellationToken cancellationToken)
    {
        var (start, position, highWatermark) = (extent.Start, extent.Start, -1L);
        var (attempt, since) = (0, TimeProvider.System.GetTimestamp());
        while (position < extent.End)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (budget.Left == 0)
                return null;
            var (before, known) = (position, highWatermark);
            BrokerException? failure = null;
            try
            {
                var maxBytes = (int)Math.Min(FetchBytes, budget.Left);
                using var result = await broker.FetchAsync(new FetchRequest(extent.Partition, position, maxBytes, FetchWait),
                    cancellationToken).ConfigureAwait(false);
                highWatermark = result.HighWatermark;
                if (result.Error == ErrorCode.OffsetOutOfRange && result.LogStartOffset > position)
                    position = result.LogStartOffset; // Retention was faster.
                else if (result.Error != ErrorCode.None)
                    failure = new BrokerException(result.Error, result.Message ?? $"{extent.Partition}: {result.Error}");
                else if (!result.Records.IsEmpty)
                {
                    if (position == start)
                        before = position = start = Math.Clamp(RecordBatchHeader.Read(result.Records.Span).BaseOffset, first, start);
                    Read(result.Records, extent, budget, ref position, onRecord);
                }
                // Readable up to the end before this fetch began: the last offsets have no records any more.
                else if (known >= extent.End)
                    position = extent.End;
            }
            catch (BrokerException e)
            {
                failure = e;
            }
            if (position > before)
            {
                (attempt, since) = (0, TimeProvider.System.GetTimestamp());
                continue;
            }
            var isOver = TimeProvider.System.GetElapsedTime(since) >= Patience;
            if (failure is not null && (isOver || failure.Action != ErrorAction.Retry))
                throw failure;
            // A new leader that does not know yet what was readable, or one that has lost it.
            if (isOver)
                return null;
            await Task.Delay(RetryBackoff.For(++attempt, RetryWait, RetryWaitMax, Random.Shared.NextDouble()), cancellationToken)
                .ConfigureAwait(false);
        }
        return start;
    }

    /// <summary>Passes on the records from the position up to the end, and moves the position past them.</summary>
    /// <exception cref="BrokerException">A batch is damaged, or cannot be decompressed now.</exception>
    private static void Read(ReadOnlyMemory<byte> batches, Extent extent, ByteBudget budget, ref long position,
        Action<TopicPartition, Record> onRecord)
    {
        // In turns: it runs in brokers too, and reads what others have sent.
        using var reader = new RecordReader(batches, StandardCodecs.All, takesTurns: true);
        var start = position;
        try
        {
            while (position < extent.End && budget.Left > 0 && reader.MoveNext())
            {
                var record = reader.Current;
                if (reader.Batch.Compression != CompressionType.None)
                    budget.Spend((record.Key?.Length ?? 0) + (record.Value?.Length ?? 0) + record.HeaderBytes.Length);
                if (record.Offset < position)
                    continue;
                // Transaction markers are no dead letters.
                if (record.Offset < extent.End && !reader.Batch.IsControl)
                    onRecord(extent.Partition, record);
                position = record.Offset + 1;
            }
        }
        catch (RecordBatchException e)
        {
            var code = e.Error == RecordBatchError.Busy ? e.Error.ToErrorCode() : ErrorCode.CorruptMessage;
            throw new BrokerException(code, $"{extent.Partition} cannot be read at offset {position}: {e.Message}", e);
        }
        catch (CodecUnavailableException e)
        {
            throw new BrokerException(ErrorCode.UnsupportedCompressionType,
                $"{extent.Partition} cannot be read at offset {position}: {e.Message}", e);
        }
        var isSpent = budget.Left == 0;
        budget.Spend(batches.Length);
        if (isSpent)
            return;
        position = Math.Max(position, FetchSession.OffsetAfter(batches.Span, start));
    }

    private async Task<long?> FindAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken)
    {
        var found = await broker.FindOffsetAsync(partition, spec, cancellationToken).ConfigureAwait(false);
        return found.Error switch
        {
            ErrorCode.None => found.Offset,
            ErrorCode.UnknownTopicOrPartition => null,
            var error => throw new BrokerException(error, found.Message ?? $"{partition}: {error}"),
        };
    }
}
