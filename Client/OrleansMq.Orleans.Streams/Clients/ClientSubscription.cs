using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>
/// A subscription of an Orleans client: a loop that reads the partition of a stream and passes the stream's events to an observer, one call
/// at a time and in order. Its position is in memory. A loop that another one follows ends after its call in progress. Thread-safe.
/// </summary>
/// <param name="provider">The provider.</param>
/// <param name="client">The broker.</param>
/// <param name="services">The client's services.</param>
/// <param name="stream">The stream.</param>
/// <param name="partition">Its partition.</param>
/// <param name="logger">Takes failures.</param>
internal sealed partial class ClientSubscription(OrleansMqStreamProvider provider, OrleansMqClient client, IServiceProvider services,
    StreamId stream, TopicPartition partition, ILogger logger)
{
    private static readonly TimeSpan Backoff = TimeSpan.FromSeconds(1);

    // Aborted events are not delivered to grains, either.
    private static readonly ReaderOptions Committed = new() { Isolation = IsolationLevel.ReadCommitted };

    private readonly byte[] _key = stream.Key.ToArray();
    // Held for a moment: never while the observer runs.
    private readonly Lock _gate = new();
    private CancellationTokenSource _ending = new();
    private bool _hasEnded;
    // The offset of the first event that the observer has not handled. Of the loop that runs.
    private long _position;
    // The topic that it is an offset of; empty before it is known. Of the loop that runs.
    private Guid _topicId;

    /// <summary>Its id.</summary>
    public Guid Id { get; } = Guid.NewGuid();

    /// <summary>The stream.</summary>
    public StreamId Stream => stream;

    /// <summary>Completes when the newest loop has ended.</summary>
    public Task Running { get; private set; } = Task.CompletedTask;

    /// <summary>Begins a loop in place of the one before, unless it has ended.</summary>
    /// <param name="observer">Receives the events.</param>
    /// <param name="from">The first offset; null: it goes on where the one before ends.</param>
    public void Begin(IStreamObserver observer, long? from)
    {
        lock (_gate)
        {
            if (_hasEnded)
                return;
            // What waits for it goes on on other threads.
            _ = _ending.CancelAsync();
            var (before, ending) = (Running, new CancellationTokenSource());
            _ending = ending;
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

    private async Task RunAsync(Task before, IStreamObserver observer, long? from, CancellationToken ending)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _position = from ?? _position;
        var hasFailed = false;
        while (!ending.IsCancellationRequested)
        {
            try
            {
                await ReadAsync(observer, () => hasFailed = false, ending).ConfigureAwait(false);
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

    // Goes on with the first event of a topic that was deleted and created again.
    private async Task<bool> IsOtherTopicAsync(CancellationToken ending)
    {
        var (before, now) = (_topicId, (await client.Broker.GetTopicAsync(partition.Topic, ending).ConfigureAwait(false)).TopicId);
        if (before == now || before == Guid.Empty)
        {
            _topicId = now;
            return false;
        }
        MoveTo(await client.Admin.FindOffsetAsync(partition, ReadFrom.Earliest, ending).ConfigureAwait(false));
        _topicId = now;
        return true;
    }

    private void MoveTo(long offset)
    {
        LogGone(logger, partition, _position, offset, Id, stream);
        _position = offset;
    }

    private async Task ReadAsync(IStreamObserver observer, Action succeeded, CancellationToken ending)
    {
        await IsOtherTopicAsync(ending).ConfigureAwait(false);
        await using var reader = client.CreatePartitionReader<byte[]?, byte[]?>(Committed, Serdes.For<byte[]?>(), Serdes.For<byte[]?>());
        reader.Assign(partition, ReadFrom.Offset(_position));
        var items = new List<StreamItem>();
        while (true)
        {
            var read = await reader.ReadAsync(ending).ConfigureAwait(false);
            succeeded();
            var end = Add(read);
            // What was fetched together is delivered together.
            while (observer.TakesBatches && items.Count < provider.Options.MaxBatch
                && await reader.ReadAsync(TimeSpan.Zero, ending).ConfigureAwait(false) is { } more)
                end = Add(more);
            if (items.Count > 0)
                await DeliverAsync(observer, [.. items], ending).ConfigureAwait(false);
            items.Clear();
            _position = end;
        }

        long Add(ConsumeResult<byte[]?, byte[]?> read)
        {
            if (read.Key is { } key && key.AsSpan().SequenceEqual(_key))
                items.Add(new StreamItem(read.Offset, read.Value));
            return read.Offset + 1;
        }
    }

    private async Task DeliverAsync(IStreamObserver observer, StreamItem[] items, CancellationToken ending)
    {
        var delivery = new StreamDelivery(provider.Name, stream, Id, Guid.Empty, partition.Partition, items);
        var (count, failures, isApart) = (0, 0, false);
        while (count < items.Length)
        {
            var end = observer.TakesBatches && !isApart ? items.Length : count + 1;
            var answer = await CallAsync(() => observer.ObserveAsync(delivery, count, end, services), ending).ConfigureAwait(false);
            // A batch that failed does not say which of its events is the cause.
            if (answer.Outcome == DeliveryOutcome.Failed && end - count > 1)
            {
                isApart = true;
                continue;
            }
            if (answer.Count > 0)
                (count, failures) = (Handled(items, count + answer.Count), 0);
            if (answer.Outcome == DeliveryOutcome.Served)
                continue;
            failures++;
            if (answer.Outcome == DeliveryOutcome.Failed && failures < provider.Options.MaxAttempts)
            {
                var delay = DeliveryDecision.DelayOf(failures - 1, provider.Options.Delivery);
                LogFailed(logger, partition, items[count].Offset, failures, delay, answer.Cause);
                await Task.Delay(delay, ending).ConfigureAwait(false);
                continue;
            }
            LogSkipped(logger, partition, items[count].Offset, stream, failures, answer.Cause);
            var skipped = new OrleansException($"The event at {partition}, offset {items[count].Offset}, of stream {stream} was skipped "
                + $"after {failures} attempt(s). {answer.Cause}");
            (count, failures) = (Handled(items, count + 1), 0);
            await CallAsync(() => SkippedAsync(observer, skipped), ending).ConfigureAwait(false);
        }
    }

    private int Handled(StreamItem[] items, int count)
    {
        _position = items[count - 1].Offset + 1;
        return count;
    }

    // The call is admitted before the end, or never. The observer's own locks are none of this one's.
    private async Task<T> CallAsync<T>(Func<Task<T>> call, CancellationToken ending)
    {
        lock (_gate)
            ending.ThrowIfCancellationRequested();
        return await call().ConfigureAwait(false);
    }

    private async Task<bool> SkippedAsync(IStreamObserver observer, Exception skipped)
    {
        try
        {
            await observer.SkippedAsync(skipped).ConfigureAwait(false);
        }
        catch (Exception thrown)
        {
            LogNotTold(logger, stream, thrown);
        }
        return true;
    }

    [LoggerMessage(1, LogLevel.Warning, "Subscription {Subscription} of this client to stream {Stream} cannot read now; retrying.")]
    private static partial void LogRetry(ILogger logger, Guid subscription, StreamId stream, Exception reason);

    [LoggerMessage(2, LogLevel.Warning, "{Partition} does not have offset {Offset} any more: it continues with {Earliest} for subscription "
        + "{Subscription} of this client to stream {Stream}.")]
    private static partial void LogGone(ILogger logger, TopicPartition partition, long offset, long earliest, Guid subscription,
        StreamId stream);

    [LoggerMessage(3, LogLevel.Warning, "The event at {Partition}, offset {Offset}, failed for time {Failures}, and is delivered again in "
        + "{Delay}. {Cause}")]
    private static partial void LogFailed(ILogger logger, TopicPartition partition, long offset, int failures, TimeSpan delay,
        string? cause);

    [LoggerMessage(4, LogLevel.Error, "The event at {Partition}, offset {Offset}, of stream {Stream} failed for time {Failures}, and is "
        + "skipped by this client. {Cause}")]
    private static partial void LogSkipped(ILogger logger, TopicPartition partition, long offset, StreamId stream, int failures,
        string? cause);

    [LoggerMessage(5, LogLevel.Error, "The observer of stream {Stream} failed when it was told of a skipped event.")]
    private static partial void LogNotTold(ILogger logger, StreamId stream, Exception reason);
}
