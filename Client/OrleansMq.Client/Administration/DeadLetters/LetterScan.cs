using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Reads the newest records of some partitions, no more than a number in all.</summary>
/// <param name="broker">The broker.</param>
internal sealed class LetterScan(IBroker broker)
{
    // A record that is there comes with the next answer. The last offsets may have none: what compaction left, or control batches.
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(5);

    // An operator looks on: a partition without a leader is reported, and not waited for.
    private static readonly ReaderOptions Reading = new() { RetryTimeout = TimeSpan.FromSeconds(15) };

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

    /// <summary>Reads the records of the extents, those of a partition in order.</summary>
    /// <exception cref="BrokerException">A partition cannot be read.</exception>
    public async Task ReadAsync(IEnumerable<Extent> extents, Action<ConsumeResult<byte[]?, byte[]?>> onRecord,
        CancellationToken cancellationToken)
    {
        await using var reader = new PartitionReader<byte[]?, byte[]?>(broker, Serdes.Bytes, Serdes.Bytes, Reading);
        var ends = new Dictionary<TopicPartition, long>();
        foreach (var extent in extents.Where(static extent => extent.Start < extent.End))
        {
            ends.Add(extent.Partition, extent.End);
            reader.Assign(extent.Partition, ReadFrom.Offset(extent.Start));
        }
        while (ends.Count > 0 && await NextAsync(reader, cancellationToken).ConfigureAwait(false) is { } record)
        {
            var end = ends[record.TopicPartition];
            if (record.Offset < end)
                onRecord(record);
            if (record.Offset + 1 >= end && ends.Remove(record.TopicPartition))
                reader.Unassign(record.TopicPartition);
        }
    }

    private static async ValueTask<ConsumeResult<byte[]?, byte[]?>?> NextAsync(PartitionReader<byte[]?, byte[]?> reader,
        CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return await reader.ReadAsync(MaxWait, cancellationToken).ConfigureAwait(false);
            }
            catch (OffsetOutOfRangeException deleted) when (deleted.LogStartOffset > deleted.Offset)
            {
                // Retention was faster.
                reader.Seek(deleted.Partition, ReadFrom.Offset(deleted.LogStartOffset));
            }
            catch (ConsumeException e)
            {
                throw new BrokerException(e.Code, e.Message, e);
            }
        }
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
