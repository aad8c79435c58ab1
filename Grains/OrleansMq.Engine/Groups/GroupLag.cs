using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Groups;

/// <summary>
/// Computes the lag of groups in records and in seconds. The timestamp of the first unconsumed record is read once per offset and cached
/// while that record stays the first. So an idle group costs two lookups per partition, and a group without lag one. Thread-safe.
/// </summary>
/// <param name="broker">The broker to query.</param>
/// <param name="time">The clock to compare timestamps with.</param>
/// <param name="codecs">The codecs for compressed batches. If one is missing, the timestamp of the batch's first record is used.</param>
internal sealed class GroupLag(IBroker broker, TimeProvider time, CompressionCodecs codecs)
{
    /// <summary>Concurrent lookups: enough to hide the latency to other brokers without flooding them.</summary>
    private const int AtATime = 16;

    /// <summary>The bytes of a read behind the first batch, which mostly answers.</summary>
    private const int ReadAhead = 256 << 10;

    private readonly ConcurrentDictionary<string, IReadOnlyDictionary<TopicPartition, FirstUnread>> _remembered =
        new(StringComparer.Ordinal);

    /// <summary>Returns the lag in every partition with a committed offset, or that is assigned to a member, ordered by topic and
    /// number.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.InvalidGroupId"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    public async ValueTask<IReadOnlyList<PartitionLag>> OfAsync(string groupId, CancellationToken cancellationToken = default)
    {
        try
        {
            return await OfAsync(await broker.Groups.DescribeGroupAsync(groupId, cancellationToken).ConfigureAwait(false),
                cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Code == ErrorCode.GroupIdNotFound)
        {
            Forget(groupId);
            throw;
        }
    }

    /// <summary>Returns the lag of a group that was described already.</summary>
    /// <exception cref="BrokerException">The offsets cannot be fetched; <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    public async ValueTask<IReadOnlyList<PartitionLag>> OfAsync(GroupDescription group, CancellationToken cancellationToken = default)
    {
        var fetched = await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group.GroupId, AllowStale = true },
            cancellationToken).ConfigureAwait(false);
        if (fetched.Error != ErrorCode.None)
            throw new BrokerException(fetched.Error, fetched.Message
                ?? $"The offsets of group '{group.GroupId}' cannot be read ({fetched.Error}).");
        var committed = fetched.Partitions.Where(partition => partition.Offset is not null).ToDictionary(partition => partition.Partition);
        var holders = new Dictionary<TopicPartition, string>();
        foreach (var member in group.Members)
        {
            foreach (var partition in member.Assignment)
                holders[partition] = member.MemberId;
        }
        TopicPartition[] partitions = [.. committed.Keys.Union(holders.Keys).OrderBy(partition => partition.Topic, StringComparer.Ordinal)
            .ThenBy(partition => partition.Partition)];

        var remembered = _remembered.GetValueOrDefault(group.GroupId);
        var lags = new PartitionLag[partitions.Length];
        var first = new FirstUnread?[partitions.Length];
        await Parallel.ForEachAsync(Enumerable.Range(0, partitions.Length),
            new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = cancellationToken },
            async (i, cancelled) =>
            {
                var known = remembered?.GetValueOrDefault(partitions[i]);
                (lags[i], first[i]) = await OfAsync(partitions[i], committed.GetValueOrDefault(partitions[i]), known,
                    cancelled).ConfigureAwait(false);
                lags[i] = lags[i] with { MemberId = holders.GetValueOrDefault(partitions[i]) };
            }).ConfigureAwait(false);
        _remembered[group.GroupId] = partitions.Zip(first).Where(pair => pair.Second is not null)
            .ToDictionary(pair => pair.First, pair => pair.Second!);
        return lags;
    }

    /// <summary>Drops the cached data of a group.</summary>
    public void Forget(string groupId) => _remembered.TryRemove(groupId, out _);

    private async ValueTask<(PartitionLag Lag, FirstUnread? First)> OfAsync(TopicPartition partition, FetchedOffset? committed,
        FirstUnread? known, CancellationToken cancellationToken)
    {
        var offset = committed?.Offset?.Offset;
        var latest = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        if (latest.Error != ErrorCode.None)
            return (new PartitionLag(partition, offset, null, null, null, Error: latest.Error, Message: latest.Message), known);
        if (offset is not { } next)
            return (new PartitionLag(partition, null, latest.Offset, null, null), null);
        if (next >= latest.Offset)
            return (new PartitionLag(partition, next, latest.Offset, 0, 0), null);

        var topicId = committed!.TopicId;
        if (known is not null && (known.TopicId != topicId || known.Committed != next || known.Settled > latest.Offset))
            known = null;
        var first = known is not null && await IsStillThereAsync(partition, known, cancellationToken).ConfigureAwait(false)
            ? known
            : await ReadFirstAsync(partition, known ?? new FirstUnread(topicId, next, next), latest.Offset, cancellationToken)
                .ConfigureAwait(false);
        // The offsets between the two may hold nothing to consume: transaction markers, records of aborted transactions, and records
        // removed by compaction.
        var seconds = first is null ? (double?)null : first.Record is { } record
            ? Math.Max(0, time.GetUtcNow().ToUnixTimeMilliseconds() - record.Timestamp) / 1000.0 : 0;
        return (new PartitionLag(partition, next, latest.Offset, latest.Offset - next, seconds), first);
    }

    /// <summary>Whether the cached record still exists, or was removed by retention, or may be of a transaction that has been
    /// aborted.</summary>
    private async ValueTask<bool> IsStillThereAsync(TopicPartition partition, FirstUnread known, CancellationToken cancellationToken)
    {
        // Without a record at the last check there may be one by now.
        if (known is not { Record: { IsStable: true } record })
            return false;
        var earliest = await broker.FindOffsetAsync(partition, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false);
        return earliest.Error == ErrorCode.None && earliest.Offset <= record.Offset;
    }

    /// <summary>Finds the first record at or after an offset; null if the partition could not be read.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="known">What is known of it.</param>
    /// <param name="end">The high watermark.</param>
    /// <param name="cancellationToken">Ends the reads.</param>
    /// <remarks>Records of aborted transactions are no lag: a group that reads committed records may stand before them for ever, and one
    /// that reads all has soon read them. Those of open transactions are some.</remarks>
    private async ValueTask<FirstUnread?> ReadFirstAsync(TopicPartition partition, FirstUnread known, long end,
        CancellationToken cancellationToken)
    {
        var (isolation, size) = (IsolationLevel.ReadCommitted, 1);
        for (var offset = known.Settled; offset < end;)
        {
            using var read = await broker.FetchAsync(new FetchRequest(partition, offset, MaxBytes: size, Isolation: isolation),
                cancellationToken).ConfigureAwait(false);
            size = ReadAhead;
            if (read.Error == ErrorCode.OffsetOutOfRange && read.LogStartOffset > offset)
            {
                offset = read.LogStartOffset;
                continue;
            }
            if (read.Error != ErrorCode.None)
                return null;
            if (read.Records.Length < RecordBatchHeader.Size)
            {
                if (isolation == IsolationLevel.ReadUncommitted)
                    break;
                isolation = IsolationLevel.ReadUncommitted;
                continue;
            }
            if (Find(read.Records, offset, out var next) is { } found)
                return known with { Record = new(found.Offset, found.Timestamp, isolation == IsolationLevel.ReadCommitted) };
            offset = Math.Max(offset + 1, next);
            if (isolation == IsolationLevel.ReadCommitted)
                known = known with { Settled = offset };
        }
        return known with { Record = null };
    }

    /// <summary>Returns the first record in <paramref name="batches"/> from an offset on that consumers receive; otherwise sets the next
    /// offset to search.</summary>
    private (long Offset, long Timestamp)? Find(ReadOnlyMemory<byte> batches, long offset, out long next)
    {
        next = offset;
        while (batches.Length >= RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(batches.Span);
            var size = Math.Min(header.SizeInBytes, batches.Length);
            if (FindInBatch(batches[..size], header, offset) is { } found)
                return found;
            next = Math.Max(next, header.NextOffset);
            batches = batches[size..];
        }
        return null;
    }

    private (long Offset, long Timestamp)? FindInBatch(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, long offset)
    {
        if (header.LastOffset < offset || header.IsControl || header.RecordCount == 0)
            return null;
        try
        {
            using var records = new RecordReader(batch, codecs, verifyCrc: false, takesTurns: true);
            while (records.MoveNext())
            {
                if (records.Current.Offset >= offset)
                    return (records.Current.Offset, records.Current.Timestamp);
            }
            return null;
        }
        catch (Exception e) when (e is CodecUnavailableException or RecordBatchException)
        {
            return (Math.Max(offset, header.BaseOffset), header.BaseTimestamp);
        }
    }

    /// <summary>The first unconsumed record of a partition.</summary>
    /// <param name="TopicId">The topic.</param>
    /// <param name="Committed">The committed offset that it follows.</param>
    /// <param name="Settled">Between the committed offset and this one there is nothing to consume, for good.</param>
    /// <param name="Record">The record; null if there is none before the high watermark.</param>
    private sealed record FirstUnread(Guid TopicId, long Committed, long Settled, Unread? Record = null);

    /// <summary>A record.</summary>
    /// <param name="Offset">Its offset.</param>
    /// <param name="Timestamp">Its timestamp in milliseconds since 1970.</param>
    /// <param name="IsStable">Whether it is not of an open transaction, which may be aborted.</param>
    private readonly record struct Unread(long Offset, long Timestamp, bool IsStable);
}
