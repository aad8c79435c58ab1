using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using OrleansMq.Client.Http;

namespace OrleansMq.Cli.Records;

/// <summary>
/// One run of <c>omq consume --group</c>: what was written to standard output is committed, and nothing else, so that a record that was
/// committed was printed, whatever happens to this process or to the broker.
/// </summary>
internal sealed class GroupConsumeRun(HttpBroker broker, string topic, string group, IRecordOutput output) : IRebalanceListener
{
    /// <summary>A broker that is restarted meanwhile is waited for; one that is gone for longer is not.</summary>
    private static readonly TimeSpan RetryTimeout = TimeSpan.FromSeconds(60);

    // What is printed a second time after a crash of this process is at most what it prints in this time.
    private static readonly TimeSpan CommitInterval = TimeSpan.FromSeconds(1);

    // The program is ended 30 s after Ctrl-C, whatever it is at.
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(20);

    private readonly Lock _writing = new();
    private readonly SemaphoreSlim _committing = new(1, 1);
    private readonly Dictionary<TopicPartition, TopicPartitionOffset> _written = []; // perhaps still in memory
    private readonly Dictionary<TopicPartition, TopicPartitionOffset> _printed = []; // not committed yet
    private IConsumer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> _consumer = null!;
    private long _lastCommit = Stopwatch.GetTimestamp();

    /// <summary>Where a partition begins for which nothing is committed.</summary>
    public AutoOffsetReset From { get; init; } = AutoOffsetReset.Earliest;

    /// <summary>When to end.</summary>
    public long MaxRecords { get; init; } = long.MaxValue;

    /// <summary>How long to wait for more; null for ever.</summary>
    public TimeSpan? IdleTimeout { get; init; }

    /// <summary>Writes the records of this member's partitions until one of the limits, or until it is cancelled, which is no failure;
    /// commits and leaves.</summary>
    /// <exception cref="CommandFailedException">The topic or the group cannot be read; or what was printed could not be
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
            Reader = new ReaderOptions { RetryTimeout = RetryTimeout },
        }, OptionalBytes.Instance, OptionalBytes.Instance);
        _consumer.Subscribe(topic);
        try
        {
            await CopyAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Ctrl-C: what was printed is committed below.
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
                    + $"{(uncommitted == 1 ? "partition" : "partitions")} that were printed last are printed again by whoever reads on.");
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

    /// <summary>The next record; null when nothing came for the idle timeout, and everything there is for this member was read.</summary>
    private async ValueTask<ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>?> WaitAsync(CancellationToken cancellationToken)
    {
        var waiting = Stopwatch.GetTimestamp();
        while (true)
        {
            // In small steps, so that what was printed is committed meanwhile.
            var step = IdleTimeout is { } idle && idle < CommitInterval ? idle : CommitInterval;
            var record = await _consumer.ReadAsync(step, cancellationToken).ConfigureAwait(false);
            if (record is not null)
                return record;
            if (Stopwatch.GetElapsedTime(_lastCommit) >= CommitInterval)
                await FlushAndCommitAsync(cancellationToken).ConfigureAwait(false);
            if (IdleTimeout is { } limit && Stopwatch.GetElapsedTime(waiting) >= limit
                && await IsAtEndAsync(cancellationToken).ConfigureAwait(false))
                return null;
        }
    }

    /// <summary>A slow first answer is not the end: only a member that has its share, and a position at the high watermark, is.</summary>
    private async ValueTask<bool> IsAtEndAsync(CancellationToken cancellationToken)
    {
        if (_consumer.GroupMetadata is not { GenerationIdOrMemberEpoch: >= 0, MemberId: var memberId })
            return false;
        try
        {
            // What it is to have is on its way to it, perhaps: the coordinator knows.
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
            // A partition was given up meanwhile.
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

    /// <summary>Hands everything to the reader of standard output: from here on it counts as printed.</summary>
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

    private Task FlushAndCommitAsync(CancellationToken cancellationToken)
    {
        Flush();
        return CommitAsync(null, cancellationToken);
    }

    /// <summary>Commits what was printed.</summary>
    /// <param name="only">Of these partitions; null: of all.</param>
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

    /// <summary>Commits what was printed, and leaves the group.</summary>
    private async Task EndAsync()
    {
        using var deadline = new CancellationTokenSource(EndTimeout);
        try
        {
            await TryFlushAndCommitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is CommitException or OperationCanceledException)
        {
            throw CommandFailedException.Refused($"What was printed last could not be committed, so it is printed again by whoever reads "
                + $"on: {e.Message}", e);
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
            // The group forgets this member by itself when its session ends.
        }
    }

    private CommandFailedException Explain(ConsumeException e) => e switch
    {
        OffsetOutOfRangeException range => CommandFailedException.Refused(
            $"Group {group} has committed offset {e.Offset} of partition {e.Partition.Partition} of topic '{topic}', which holds "
            + $"{range.LogStartOffset} to {range.HighWatermark}. "
            + $"Bring it back into the log: omq group reset {group} --topic {topic} --to-current --execute", e),
        { Code: ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut } =>
            new CommandFailedException(ExitCode.Unreachable, e.Message, e),
        _ => CommandFailedException.Refused($"{e.Message} ({e.Code})", e),
    };
}
