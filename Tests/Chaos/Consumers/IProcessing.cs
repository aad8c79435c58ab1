using System.Collections.Concurrent;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>What consumers do with records, and what came of it.</summary>
internal interface IProcessing
{
    /// <summary>Processes a record; done when it returns. It may be called again for the same one, by another consumer.</summary>
    /// <param name="consumer">Who processes it.</param>
    /// <param name="partition">Where it is from.</param>
    /// <param name="offset">Its offset.</param>
    /// <param name="killed">The consumer is killed: in the middle of it.</param>
    Task ProcessAsync(string consumer, TopicPartition partition, long offset, CancellationToken killed);

    /// <summary>How many records of a partition were processed, those before <paramref name="end"/>.</summary>
    Task<ProcessedRecords> CountAsync(int partition, long end);
}

/// <summary>What became of a partition's records.</summary>
/// <param name="Distinct">Records that were processed at all.</param>
/// <param name="Effects">How often anything was processed.</param>
internal readonly record struct ProcessedRecords(long Distinct, long Effects);

/// <summary>Counts, as a service that may be asked to do a thing twice.</summary>
internal sealed class CountedProcessing : IProcessing
{
    private readonly ConcurrentDictionary<(int Partition, long Offset), int> _counts = new();

    public Task ProcessAsync(string consumer, TopicPartition partition, long offset, CancellationToken killed)
    {
        _counts.AddOrUpdate((partition.Partition, offset), 1, static (_, count) => count + 1);
        return Task.CompletedTask;
    }

    public Task<ProcessedRecords> CountAsync(int partition, long end)
    {
        var counts = _counts.Where(record => record.Key.Partition == partition && record.Key.Offset < end).Select(record => record.Value).ToArray();
        return Task.FromResult(new ProcessedRecords(counts.Length, counts.Sum()));
    }
}
