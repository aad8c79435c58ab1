using System.Diagnostics;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;
using OrleansMq.Records;

namespace OrleansMq.Cli.Records;

/// <summary>One run of <c>omq consume</c>.</summary>
internal sealed class ConsumeRun(HttpBroker broker, string topic, IRecordOutput output)
{
    /// <summary>How long an unreachable broker is retried: long enough for a restart.</summary>
    private static readonly TimeSpan RetryTimeout = TimeSpan.FromSeconds(60);

    private readonly BrokerWatch _watch = new(broker, topic);

    /// <summary>The partition; null for all.</summary>
    public int? Partition { get; init; }

    /// <summary>Where to begin.</summary>
    public ReadFrom From { get; init; } = ReadFrom.Earliest;

    /// <summary>Whether <see cref="From"/> is an offset, which applies to one partition.</summary>
    public bool FromIsNumber { get; init; }

    /// <summary>The number of records after which to end.</summary>
    public long MaxRecords { get; init; } = long.MaxValue;

    /// <summary>How long to wait for more records; null for no limit.</summary>
    public TimeSpan? IdleTimeout { get; init; }

    /// <summary>Whether records of transactions that are open or aborted are written.</summary>
    public IsolationLevel Isolation { get; init; }

    /// <summary>Writes records until one of the limits is reached, or until cancelled, which is not a failure.</summary>
    /// <exception cref="CommandFailedException">The topic cannot be read.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            var partitions = await PartitionsAsync(cancellationToken).ConfigureAwait(false);
            await using var reader = new PartitionReader<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>(
                broker, OptionalBytes.Instance, OptionalBytes.Instance, new ReaderOptions
                {
                    RetryTimeout = RetryTimeout,
                    Isolation = Isolation,
                });
            reader.Assign(partitions, From);
            await CopyAsync(reader, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            output.Flush();
        }
        catch (ConsumeException e)
        {
            output.Flush();
            throw Explain(e);
        }
    }

    private async Task<List<TopicPartition>> PartitionsAsync(CancellationToken cancellationToken)
    {
        var count = (await TopicLookUp.FindAsync(broker, topic, RetryTimeout, cancellationToken).ConfigureAwait(false)).Partitions;
        if (Partition is null && FromIsNumber && count > 1)
            throw CommandFailedException.Usage($"Topic '{topic}' has {count} partitions, each with its own offsets: choose one with "
                + "--partition.");
        if (Partition >= count)
            throw CommandFailedException.Refused($"Topic '{topic}' has no partition {Partition}: its partitions are 0 to {count - 1}.");
        return [.. (Partition is { } one ? [one] : Enumerable.Range(0, count)).Select(partition => new TopicPartition(topic, partition))];
    }

    private async Task CopyAsync(PartitionReader<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> reader, CancellationToken cancellationToken)
    {
        for (var records = 0L; records < MaxRecords; records++)
        {
            var record = await reader.ReadAsync(TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
            if (record is null)
            {
                // Flush before waiting, so that the reader of the output sees everything so far.
                output.Flush();
                record = await WaitAsync(reader, cancellationToken).ConfigureAwait(false);
            }
            if (record is not { } present)
                break;
            output.Write(present);
        }
        output.Flush();
    }

    /// <summary>Reads the next record; returns null if the idle timeout passed and all available records were read.</summary>
    private async ValueTask<ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>?> WaitAsync(
        PartitionReader<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> reader, CancellationToken cancellationToken)
    {
        var waiting = Stopwatch.GetTimestamp();
        while (true)
        {
            var step = IdleTimeout is { } idle && idle < BrokerWatch.Interval ? idle : BrokerWatch.Interval;
            var record = await reader.ReadAsync(step, cancellationToken).ConfigureAwait(false);
            if (record is not null)
                return record;
            if (IdleTimeout is { } limit && Stopwatch.GetElapsedTime(waiting) >= limit
                && await IsAtEndAsync(reader, cancellationToken).ConfigureAwait(false))
                return null;
            await _watch.LookAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Whether all records were read: every position is at the high watermark. A slow first response alone does not mean
    /// that.</summary>
    private static async ValueTask<bool> IsAtEndAsync(PartitionReader<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> reader,
        CancellationToken cancellationToken)
    {
        foreach (var partition in reader.Assignment)
        {
            var highWatermark = reader.GetHighWatermark(partition);
            if (highWatermark < 0 || await reader.GetPositionAsync(partition, cancellationToken).ConfigureAwait(false) < highWatermark)
                return false;
        }
        return true;
    }

    private CommandFailedException Explain(ConsumeException e) => e switch
    {
        OffsetOutOfRangeException range => CommandFailedException.Refused(
            $"Partition {e.Partition.Partition} of topic '{topic}' has no offset {e.Offset}: it holds {range.LogStartOffset} to "
            + $"{range.HighWatermark}. Choose another --offset, or earliest.", e),
        { Code: ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut } =>
            new CommandFailedException(ExitCode.Unreachable, e.Message, e),
        { InnerException: RecordBatchException bad } when bad.NextOffset > e.Offset => CommandFailedException.Refused(
            $"{e.Message} That is: --partition {e.Partition.Partition} --offset {bad.NextOffset}", e),
        _ => CommandFailedException.Refused($"{e.Message} ({e.Code})", e),
    };
}
