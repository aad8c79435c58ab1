using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using OrleansMq.Records;

namespace OrleansMq.Cli.Records;

/// <summary>
/// One run of <c>omq consume --group</c>. Only records written to standard output are committed. A committed record was therefore printed,
/// whatever happens to this process or to the broker.
/// </summary>
internal sealed class GroupConsumeRun(HttpBroker broker, string topic, string group, IRecordOutput output) : IRebalanceListener
{
    /// <summary>How long an unreachable broker is retried: long enough for a restart.</summary>
    private static readonly TimeSpan RetryTimeout = TimeSpan.FromSeconds(60);

    // After a crash of this process, at most the records printed during this interval are printed again.
    private static readonly TimeSpan CommitInterval = TimeSpan.FromSeconds(1);

    // The program is terminated 60 s after Ctrl-C in any case.
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(20);

    private readonly BrokerWatch _watch = new(broker, topic);
    private readonly Lock _writing = new();
    private readonly SemaphoreSlim _committing = new(1, 1);
    private readonly Dictionary<TopicPartition, TopicPartitionOffset> _written = []; // perhaps still in memory
    private readonly Dictionary<TopicPartition, TopicPartitionOffset> _printed = []; // not committed yet
    private IConsumer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> _consumer = null!;
    private long _lastCommit = Stopwatch.GetTimestamp();

    /// <summary>Where a partition without a committed offset begins.</summary>
    public AutoOffsetReset From { get; init; } = AutoOffsetReset.Earliest;

    /// <summary>The number of records after which to end.</summary>
    public long MaxRecords { get; init; } = long.MaxValue;

    /// <summary>How long to wait for more records; null for no limit.</summary>
    public TimeSpan? IdleTimeout { get; init; }

    /// <summary>Whether records of transactions that are open or aborted are written.</summary>
    public IsolationLevel Isolation { get; init; }

    /// <summary>Writes the records of this member's partitions until one of the limits is reached, or until cancelled, which is not a
    /// failure. Then commits and leaves the group.</summary>
    /// <exception cref="CommandFailedException">The topic or the group cannot be read, or the printed records could not be
    /// committed.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            await TopicLookUp.FindAsync(broker, topic, RetryTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return;
        }
        _consumer = new Consumer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>(broker, new ConsumerOptions
        {
            GroupId = group,
            AutoOffsetReset = From,
            AutoCommit = false,
            ClientId = "omq",
            RebalanceListener = this,
            Reader = new ReaderOptions { RetryTimeout = RetryTimeout, Isolation = Isolation },
        }, OptionalBytes.Instance, OptionalBytes.Instance);
        _consumer.Subscribe(topic);
        try
        {
            await CopyAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Ctrl-C: the printed records are committed below.
        }
        catch (ConsumeException e)
        {
            throw Explain(e);
        }
        catch (Exception e) when (e is ConsumerGroupException or CommitException)
        {
            throw CommandFailedException.Refused(e.Message, e);
        }
        finally
        {
            await EndAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async ValueTask OnRevokedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        Flush();
        await CommitAsync(partitions, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask OnLostAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        lock (_writing)
        {
            var uncommitted = partitions.Count(partition => _written.Remove(partition) | _printed.Remove(partition));
            if (uncommitted > 0)
                Console.Error.WriteLine($"omq: cut off from group {group}; records of {uncommitted} "
                    + $"{(uncommitted == 1 ? "partition" : "partitions")} that were printed last will be printed again by another member.");
        }
        return default;
    }

    private async Task CopyAsync(CancellationToken cancellationToken)
    {
        for (var records = 0L; records < MaxRecords; records++)
        {
            var record = await _consumer.ReadAsync(TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
            if (record is null)
            {
                // Nothing more at hand: the output is flushed before the wait.
                Flush();
                record = await WaitAsync(cancellationToken).ConfigureAwait(false);
            }
            if (record is not { } present)
                break;
            Write(present);
            if (Stopwatch.GetElapsedTime(_lastCommit) >= CommitInterval)
                await FlushAndCommitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Reads the next record; returns null if the idle timeout passed and all records for this member were read.</summary>
    private async ValueTask<ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>?> WaitAsync(CancellationToken cancellationToken)
    {
        var waiting = Stopwatch.GetTimestamp();
        while (true)
        {
            // Waits in short steps, so that printed records are committed in between.
            var step = IdleTimeout is { } idle && idle < CommitInterval ? idle : CommitInterval;
            var record = await _consumer.ReadAsync(step, cancellationToken).ConfigureAwait(false);
            if (record is not null)
                return record;
            await _watch.LookAsync(cancellationToken).ConfigureAwait(false);
            if (Stopwatch.GetElapsedTime(_lastCommit) >= CommitInterval)
                await FlushAndCommitAsync(cancellationToken).ConfigureAwait(false);
            if (IdleTimeout is { } limit && Stopwatch.GetElapsedTime(waiting) >= limit
                && await IsAtEndAsync(cancellationToken).ConfigureAwait(false))
                return null;
        }
    }

    /// <summary>Whether all records were read: the member has its target assignment, and every position is at the high watermark. A slow
    /// first response alone does not mean that.</summary>
    private async ValueTask<bool> IsAtEndAsync(CancellationToken cancellationToken)
    {
        if (_consumer.GroupMetadata is not { GenerationIdOrMemberEpoch: >= 0, MemberId: var memberId })
            return false;
        try
        {
            // The target assignment may still be on its way; the coordinator knows it.
            var description = await broker.Groups.DescribeGroupAsync(group, cancellationToken).ConfigureAwait(false);
            if (description.Members.FirstOrDefault(member => member.MemberId == memberId) is not { } self
                || !self.TargetAssignment.ToHashSet().SetEquals(_consumer.Assignment))
                return false;
            foreach (var partition in _consumer.Assignment)
            {
                var highWatermark = _consumer.GetHighWatermark(partition);
                if (highWatermark < 0
                    || await _consumer.GetPositionAsync(partition, cancellationToken).ConfigureAwait(false) < highWatermark)
                    return false;
            }
            return true;
        }
        catch (InvalidOperationException)
        {
            // A partition was revoked in the meantime.
            return false;
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            return false;
        }
    }

    private void Write(in ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> record)
    {
        lock (_writing)
        {
            output.Write(record);
            _written[record.TopicPartition] = new TopicPartitionOffset(record.TopicPartition, record.Offset + 1, record.LeaderEpoch);
        }
    }

    /// <summary>Flushes to standard output. Everything written so far counts as printed.</summary>
    private void Flush()
    {
        lock (_writing)
        {
            output.Flush();
            foreach (var (partition, offset) in _written)
                _printed[partition] = offset;
            _written.Clear();
        }
    }

    /// <summary>Prints what was written and commits it. A commit that waits for a broker lets <see cref="BrokerWatch"/> tell so.</summary>
    private async Task FlushAndCommitAsync(CancellationToken cancellationToken)
    {
        Flush();
        using var watching = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var watch = WatchAsync(watching.Token);
        try
        {
            await CommitAsync(null, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await watching.CancelAsync().ConfigureAwait(false);
            await watch.ConfigureAwait(false);
        }
    }

    private async Task WatchAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                await Task.Delay(BrokerWatch.Interval, cancellationToken).ConfigureAwait(false);
                await _watch.LookAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The commit has ended.
        }
    }

    /// <summary>Commits the printed records.</summary>
    /// <param name="only">The partitions to commit; null for all.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    private async Task CommitAsync(IReadOnlyList<TopicPartition>? only, CancellationToken cancellationToken)
    {
        await _committing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            TopicPartitionOffset[] offsets;
            lock (_writing)
                offsets = [.. _printed.Values.Where(offset => only is null || only.Contains(offset.Partition))];
            if (offsets.Length > 0)
                await _consumer.CommitAsync(offsets, cancellationToken).ConfigureAwait(false);
            lock (_writing)
            {
                foreach (var offset in offsets)
                {
                    if (_printed.TryGetValue(offset.Partition, out var now) && now.Offset == offset.Offset)
                        _printed.Remove(offset.Partition);
                }
            }
            _lastCommit = Stopwatch.GetTimestamp();
        }
        catch (CommitFencedException e)
        {
            lock (_writing)
            {
                foreach (var partition in e.Partitions)
                    _printed.Remove(partition);
            }
            Console.Error.WriteLine("omq: " + e.Message);
        }
        finally
        {
            _committing.Release();
        }
    }

    /// <summary>Commits the printed records and leaves the group.</summary>
    private async Task EndAsync()
    {
        using var deadline = new CancellationTokenSource(EndTimeout);
        try
        {
            await TryFlushAndCommitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is CommitException or OperationCanceledException)
        {
            throw CommandFailedException.Refused($"The records printed last could not be committed, so another member prints them again: "
                + $"{e.Message}", e);
        }
        finally
        {
            await CloseAsync(deadline.Token).ConfigureAwait(false);
        }
    }

    private async Task TryFlushAndCommitAsync(CancellationToken cancellationToken)
    {
        try
        {
            Flush();
        }
        catch (BrokenPipeException)
        {
            // Only records that the pipe took are committed.
        }
        await CommitAsync(null, cancellationToken).ConfigureAwait(false);
    }

    private async Task CloseAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _consumer.CloseAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The group removes this member when its session times out.
        }
    }

    private CommandFailedException Explain(ConsumeException e) => e switch
    {
        OffsetOutOfRangeException range => CommandFailedException.Refused(
            $"Group {group} has committed offset {e.Offset} of partition {e.Partition.Partition} of topic '{topic}', which holds "
            + $"{range.LogStartOffset} to {range.HighWatermark}. "
            + $"Move it into the log's range: omq group reset {group} --topic {topic} --to-current --execute", e),
        { Code: ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut } =>
            new CommandFailedException(ExitCode.Unreachable, e.Message, e),
        { InnerException: RecordBatchException bad } when bad.NextOffset > e.Offset => CommandFailedException.Refused(
            $"{e.Message} That is: omq group reset {group} --topic {topic}:{e.Partition.Partition} --to-offset {bad.NextOffset} "
            + "--execute", e),
        _ => CommandFailedException.Refused($"{e.Message} ({e.Code})", e),
    };
}
