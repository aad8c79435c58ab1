using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>Where a subscription begins.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Offset">The first offset.</param>
internal readonly record struct StreamBegin(Guid TopicId, long Offset);

/// <summary>
/// A loop that reads the partition of a stream and passes the stream's events to an observer, one call at a time and in order: a
/// subscription of a process, or the replay of an activation, which has an end. Its position is in memory. A loop that another one follows
/// ends after its call in progress. Thread-safe.
/// </summary>
/// <param name="provider">The provider.</param>
/// <param name="client">The broker.</param>
/// <param name="services">The services of the process.</param>
/// <param name="stream">The stream.</param>
/// <param name="partition">Its partition.</param>
/// <param name="logger">Takes failures.</param>
/// <param name="replay">The replay of an activation that it reads for; null: it has no end.</param>
internal sealed partial class StreamReading(OrleansMqStreamProvider provider, OrleansMqClient client, IServiceProvider services,
    StreamId stream, TopicPartition partition, ILogger logger, ActivationReplay? replay = null)
{
    private static readonly TimeSpan Backoff = TimeSpan.FromSeconds(1);

    // One with an end looks in between whether that is reached: offsets without a record are behind its last event, and no read returns
    // with them. Others wait for its place meanwhile.
    private static readonly TimeSpan ShortestRead = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestRead = TimeSpan.FromSeconds(1);

    // Aborted events are not delivered to grains, either.
    private static readonly ReaderOptions Committed = new() { Isolation = IsolationLevel.ReadCommitted };

    // Many activations may begin at once.
    private static readonly ReaderOptions OfActivation = Committed with { PrefetchBytes = 512 << 10 };

    private readonly byte[] _key = stream.Key.ToArray();
    // Held for a moment: never while the observer runs.
    private readonly Lock _gate = new();
    private CancellationTokenSource _ending = new();
    private bool _hasEnded;
    // The offset of the first event that the observer has not handled. Of the loop that runs.
    private long _position;
    // The topic that it is an offset of. Of the loop that runs.
    private Guid _topicId;

    /// <summary>Its id.</summary>
    public Guid Id { get; } = Guid.NewGuid();

    /// <summary>The stream.</summary>
    public StreamId Stream => stream;

    /// <summary>Completes when the newest loop has ended.</summary>
    public Task Running { get; private set; } = Task.CompletedTask;

    /// <summary>Begins a loop in place of the one before, unless it has ended.</summary>
    /// <param name="observer">Receives the events.</param>
    /// <param name="from">Where it begins; null: where the one before ends.</param>
    /// <param name="after">What it waits for besides the loop before; null: nothing.</param>
    public void Begin(IStreamObserver observer, StreamBegin? from, Task? after = null)
    {
        lock (_gate)
        {
            if (_hasEnded)
                return;
            // What waits for it goes on on other threads.
            _ = _ending.CancelAsync();
            var (before, ending) = (after is null ? Running : Task.WhenAll(Running, after), new CancellationTokenSource());
            _ending = ending;
            // Not as a part of the caller's request: calls of the observer would count as of its chain of calls.
            using var apart = ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow();
            Running = Task.Run(() => RunAsync(before, observer, from, ending.Token), CancellationToken.None);
        }
    }

    /// <summary>Ends it: no call of the observer is admitted after that. One that was admitted is under way.</summary>
    public void End()
    {
        lock (_gate)
        {
            _hasEnded = true;
            _ = _ending.CancelAsync();
        }
    }

    private async Task RunAsync(Task before, IStreamObserver observer, StreamBegin? from, CancellationToken ending)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (from is var (topicId, offset))
            (_topicId, _position) = (topicId, offset);
        var hasFailed = false;
        while (!ending.IsCancellationRequested)
        {
            try
            {
                await ReadInTurnAsync(observer, () => hasFailed = false, ending).ConfigureAwait(false);
                return;
            }
            catch (Exception) when (ending.IsCancellationRequested)
            {
                return;
            }
            catch (OffsetOutOfRangeException gone)
            {
                await FindNextAsync(gone, ending).ConfigureAwait(false);
            }
            catch (Exception failure)
            {
                // Whatever it is, the next try may find it mended; without one the observer would receive nothing.
                if (!hasFailed)
                    LogRetry(logger, Id, stream, failure);
                hasFailed = true;
                await Task.Delay(Backoff, ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    // The events were deleted, or the topic was, and has other ones now. A log that ends before the position may be one that is cut off:
    // its successor has what is asked for.
    private async Task FindNextAsync(OffsetOutOfRangeException gone, CancellationToken ending)
    {
        try
        {
            if (await IsOtherTopicAsync(ending).ConfigureAwait(false))
                return;
            if (gone.LogStartOffset > _position)
                MoveTo(gone.LogStartOffset);
            else
                await Task.Delay(Backoff, ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        catch (Exception)
        {
            // The next read finds out again that they are gone.
            await Task.Delay(Backoff, ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Goes on with the first event of a topic that was deleted and created again. One with an end ends there.
    private async Task<bool> IsOtherTopicAsync(CancellationToken ending)
    {
        // A lookup may answer from memory: the log may be that of another topic by now.
        var now = (await client.Broker.DescribeTopicAsync(partition.Topic, ending).ConfigureAwait(false)).TopicId;
        if (_topicId == now)
            return false;
        if (replay is null)
            MoveTo(await client.Admin.FindOffsetAsync(partition, ReadFrom.Earliest, ending).ConfigureAwait(false));
        _topicId = now;
        return true;
    }

    private void MoveTo(long offset)
    {
        LogGone(logger, partition, _position, offset, Id, stream);
        _position = offset;
    }

    // One with an end has a place while it is connected: as many activations as a silo has may begin at once.
    private async Task ReadInTurnAsync(IStreamObserver observer, Action succeeded, CancellationToken ending)
    {
        if (replay is null)
        {
            await ReadAsync(observer, succeeded, ending).ConfigureAwait(false);
            return;
        }
        await provider.Replays.WaitAsync(ending).ConfigureAwait(false);
        try
        {
            await ReadAsync(observer, succeeded, ending).ConfigureAwait(false);
        }
        finally
        {
            provider.Replays.Release();
        }
    }

    // Completes when the end is reached.
    private async Task ReadAsync(IStreamObserver observer, Action succeeded, CancellationToken ending)
    {
        await IsOtherTopicAsync(ending).ConfigureAwait(false);
        if (replay is not null && await replay.EndsAsync(_position, _topicId, ending).ConfigureAwait(false))
            return;
        await using var reader = client.CreatePartitionReader<byte[]?, byte[]?>(replay is null ? Committed : OfActivation,
            Serdes.For<byte[]?>(), Serdes.For<byte[]?>());
        reader.Assign(partition, ReadFrom.Offset(_position));
        var (items, next, wait) = (new List<StreamItem>(), _position, ShortestRead);
        while (true)
        {
            if (replay is null)
                Add(await reader.ReadAsync(ending).ConfigureAwait(false));
            else if (await reader.ReadAsync(wait, ending).ConfigureAwait(false) is { } read)
            {
                wait = ShortestRead;
                Add(read);
            }
            else
            {
                wait = wait * 2 < LongestRead ? wait * 2 : LongestRead;
                next = Math.Max(next, await reader.GetPositionAsync(partition, ending).ConfigureAwait(false));
            }
            // A short read that has ended says nothing of the broker.
            if (next > _position || wait == LongestRead)
                succeeded();
            // What was fetched together is delivered together.
            while (observer.TakesBatches && items.Count < provider.Options.MaxBatch
                && await reader.ReadAsync(TimeSpan.Zero, ending).ConfigureAwait(false) is { } more)
                Add(more);
            if (items.Count > 0)
                await DeliverAsync(observer, [.. items], ending).ConfigureAwait(false);
            items.Clear();
            _position = next;
            if (replay is not null && await replay.EndsAsync(_position, _topicId, ending).ConfigureAwait(false))
                return;
        }

        void Add(ConsumeResult<byte[]?, byte[]?> read)
        {
            if (read.Key is { } key && key.AsSpan().SequenceEqual(_key))
                items.Add(new StreamItem(read.Offset, read.Value));
            next = read.Offset + 1;
        }
    }

    private async Task DeliverAsync(IStreamObserver observer, StreamItem[] items, CancellationToken ending)
    {
        var delivery = new StreamDelivery(provider.Name, stream, Id, Guid.Empty, partition.Partition, items);
        var (count, failures, isApart) = (0, FailuresOf(items[0]), false);
        while (count < items.Length)
        {
            string? cause = "Earlier activations of the grain have used up its attempts.";
            if (failures < provider.Options.MaxAttempts)
            {
                var end = observer.TakesBatches && !isApart ? EndOf(items, count) : count + 1;
                var answer = await CallAsync(() => observer.ObserveAsync(delivery, count, end, services), ending).ConfigureAwait(false);
                // A batch that failed does not say which of its events is the cause.
                if (answer.Outcome == DeliveryOutcome.Failed && end - count > 1 && !observer.NamesCause)
                {
                    isApart = true;
                    continue;
                }
                if (answer.Count > 0)
                    (count, failures) = Handled(items, count + answer.Count);
                if (answer.Outcome == DeliveryOutcome.Served)
                    continue;
                failures++;
                if (replay is not null)
                    provider.ReplayFailures.Note(replay.Subscription, items[count].Offset, failures);
                if (answer.Outcome == DeliveryOutcome.Failed && failures < provider.Options.MaxAttempts)
                {
                    var delay = DeliveryDecision.DelayOf(failures - 1, provider.Options.Delivery);
                    LogFailed(logger, partition, items[count].Offset, failures, delay, answer.Cause);
                    await Task.Delay(delay, ending).ConfigureAwait(false);
                    continue;
                }
                cause = answer.Cause;
            }
            LogSkipped(logger, partition, items[count].Offset, stream, failures, cause);
            var skipped = new OrleansException($"The event at {partition}, offset {items[count].Offset}, of stream {stream} was skipped "
                + $"after {failures} attempt(s). {cause}");
            await CallAsync(() => SkippedAsync(observer, items[count].Offset, skipped), ending).ConfigureAwait(false);
            (count, failures) = Handled(items, count + 1);
        }
    }

    // An event whose attempts are used up is passed over, and not called with those before it.
    private int EndOf(StreamItem[] items, int first) =>
        Array.FindIndex(items, first + 1, item => FailuresOf(item) >= provider.Options.MaxAttempts) is >= 0 and var used
            ? used : items.Length;

    // Those of an earlier activation count, too.
    private int FailuresOf(in StreamItem item) => replay is null ? 0 : provider.ReplayFailures.Of(replay.Subscription, item.Offset);

    private (int Count, int Failures) Handled(StreamItem[] items, int count)
    {
        var last = items[count - 1].Offset;
        _position = last + 1;
        if (replay is not null)
            provider.ReplayFailures.Forget(replay.Subscription, last);
        return (count, count < items.Length ? FailuresOf(items[count]) : 0);
    }

    // The call is admitted before the end, or never. The observer's own locks are none of this one's.
    private async Task<T> CallAsync<T>(Func<Task<T>> call, CancellationToken ending)
    {
        lock (_gate)
            ending.ThrowIfCancellationRequested();
        return await call().ConfigureAwait(false);
    }

    private async Task<bool> SkippedAsync(IStreamObserver observer, long offset, Exception skipped)
    {
        if (await observer.GivenUpAsync(offset, skipped).ConfigureAwait(false) is { } thrown)
            provider.LogNotTold(stream, thrown);
        return true;
    }

    [LoggerMessage(1, LogLevel.Warning, "Reading {Reading} of stream {Stream} cannot go on now; retrying.")]
    private static partial void LogRetry(ILogger logger, Guid reading, StreamId stream, Exception reason);

    [LoggerMessage(2, LogLevel.Warning, "{Partition} does not have offset {Offset} any more: reading {Reading} of stream {Stream} "
        + "continues with {Earliest}.")]
    private static partial void LogGone(ILogger logger, TopicPartition partition, long offset, long earliest, Guid reading,
        StreamId stream);

    [LoggerMessage(3, LogLevel.Warning, "The event at {Partition}, offset {Offset}, failed for time {Failures}, and is delivered again in "
        + "{Delay}. {Cause}")]
    private static partial void LogFailed(ILogger logger, TopicPartition partition, long offset, int failures, TimeSpan delay,
        string? cause);

    [LoggerMessage(4, LogLevel.Error, "The event at {Partition}, offset {Offset}, of stream {Stream} failed for time {Failures}, and is "
        + "passed over. {Cause}")]
    private static partial void LogSkipped(ILogger logger, TopicPartition partition, long offset, StreamId stream, int failures,
        string? cause);
}
