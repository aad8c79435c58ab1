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
        var first = known is not null && known.TopicId == topicId && known.Committed == next
            && await IsStillThereAsync(partition, known, cancellationToken).ConfigureAwait(false)
            ? known
            : await ReadFirstAsync(partition, topicId, next, latest.Offset, cancellationToken).ConfigureAwait(false);
        // The offsets between the two may hold nothing to consume: transaction markers, and records removed by compaction.
        var seconds = first is null ? (double?)null : first.Timestamp is { } timestamp
            ? Math.Max(0, time.GetUtcNow().ToUnixTimeMilliseconds() - timestamp) / 1000.0 : 0;
        return (new PartitionLag(partition, next, latest.Offset, latest.Offset - next, seconds), first);
    }

    /// <summary>Whether the cached record still exists, or was removed by retention.</summary>
    private async ValueTask<bool> IsStillThereAsync(TopicPartition partition, FirstUnread known, CancellationToken cancellationToken)
    {
        // Without a record at the last check there may be one by now.
        if (known.Timestamp is null)
            return false;
        var earliest = await broker.FindOffsetAsync(partition, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false);
        return earliest.Error == ErrorCode.None && earliest.Offset <= known.Offset;
    }

    /// <summary>Finds the first record at or after an offset; null if the partition could not be read.</summary>
    private async ValueTask<FirstUnread?> ReadFirstAsync(TopicPartition partition, Guid topicId, long committed, long end,
        CancellationToken cancellationToken)
    {
        for (var offset = committed; offset < end;)
        {
            // The smallest possible read: one batch.
            using var read = await broker.FetchAsync(new FetchRequest(partition, offset, MaxBytes: 1),
                cancellationToken).ConfigureAwait(false);
            if (read.Error == ErrorCode.OffsetOutOfRange && read.LogStartOffset > offset)
            {
                offset = read.LogStartOffset;
                continue;
            }
            if (read.Error != ErrorCode.None)
                return null;
            if (read.Records.Length < RecordBatchHeader.Size)
                break;
            var found = Find(read.Records, offset, out var next);
            if (found is { } record)
                return new FirstUnread(topicId, committed, record.Offset, record.Timestamp);
            offset = Math.Max(offset + 1, next);
        }
        return new FirstUnread(topicId, committed, end, null);
    }

    /// <summary>Returns the first record in <paramref name="batches"/> from an offset on that consumers receive; otherwise sets the next
    /// offset to search.</summary>
    private (long Offset, long Timestamp)? Find(ReadOnlyMemory<byte> batches, long offset, out long next)
    {
        var header = RecordBatchHeader.Read(batches.Span);
        next = header.NextOffset;
        if (header.LastOffset < offset || header.IsControl || header.RecordCount == 0)
            return null;
        try
        {
            using var records = new RecordReader(batches[..Math.Min(header.SizeInBytes, batches.Length)], codecs, verifyCrc: false,
                takesTurns: true);
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
    /// <param name="Offset">Its offset.</param>
    /// <param name="Timestamp">Its timestamp in milliseconds since 1970; null if there is no record before the high watermark.</param>
    private sealed record FirstUnread(Guid TopicId, long Committed, long Offset, long? Timestamp);
}
