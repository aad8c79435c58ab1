using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// Receives every message of a topic that is published after the subscription was answered, in order per partition, for as long as it
/// lives. Every subscription receives all of them. Nothing is stored for one that is away: another subscription begins at the end.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public sealed class BroadcastSubscription<TKey, TValue> : IAsyncDisposable
{
    private readonly BroadcastReading _reading;
    private readonly MessageProcessor<TKey, TValue> _processor;

    internal BroadcastSubscription(BroadcastReading reading, MessageProcessor<TKey, TValue> processor) =>
        (_reading, _processor) = (reading, processor);

    /// <summary>The partitions that are read.</summary>
    public IReadOnlyCollection<TopicPartition> Assignment => _processor.Consumer.Assignment;

    /// <summary>Partitions that cannot be read, with the reason, such as a damaged batch. A message whose handler fails stops
    /// none.</summary>
    public IReadOnlyDictionary<TopicPartition, Exception> Stopped => _processor.Stopped;

    /// <summary>Counters since the subscription.</summary>
    public BroadcastStatistics Statistics
    {
        get
        {
            var counted = _processor.Statistics;
            return new BroadcastStatistics(counted.Handled, counted.Retries, counted.Skipped, _reading.Gaps);
        }
    }

    /// <summary>Completes when the subscription has ended.</summary>
    public Task Completion => _processor.Completion;

    /// <summary>Resumes a stopped partition where it stopped.</summary>
    /// <exception cref="InvalidOperationException">The partition is not read.</exception>
    public void Resume(TopicPartition partition) => _processor.Resume(partition);

    /// <summary>Ends the subscription. Calls in progress are waited for up to <see cref="BroadcastOptions.DrainTimeout"/>, then their
    /// tokens are cancelled.</summary>
    public ValueTask DisposeAsync() => _processor.DisposeAsync();
}

/// <summary>A broadcast subscription's counters.</summary>
/// <param name="Handled">Messages whose handler returned.</param>
/// <param name="Retries">Attempts after the first.</param>
/// <param name="Skipped">Messages that were skipped, since their handler failed too often or they cannot be deserialized.</param>
/// <param name="Gaps">How often messages were deleted before they were read, as by retention.</param>
public readonly record struct BroadcastStatistics(long Handled, long Retries, long Skipped, long Gaps);

/// <summary>The start of a subscription, whose answer means that the end of every partition is known.</summary>
internal sealed partial class BroadcastReading(IBroker broker, string topic, ReaderOptions reader, ILogger logger) : IRebalanceListener
{
    private readonly TaskCompletionSource<IReadOnlyList<TopicPartition>> _assigned =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _gaps;

    /// <summary>How often messages were gone before they were read.</summary>
    public long Gaps => Interlocked.Read(ref _gaps);

    /// <summary>Chooses where reading goes on when a position is gone: with the oldest message that is left, or, where the log ends
    /// below the position, with what comes next.</summary>
    public ReadFrom? GoOn(OffsetOutOfRangeException gone)
    {
        Interlocked.Increment(ref _gaps);
        return gone.HighWatermark >= 0 && gone.Offset > gone.HighWatermark ? ReadFrom.Latest : ReadFrom.Earliest;
    }

    public ValueTask OnAssignedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        _assigned.TrySetResult(partitions);
        return default;
    }

    /// <summary>Starts a processor, and completes when it reads every partition from a known end on. Waits while no broker
    /// answers.</summary>
    /// <exception cref="BrokerException">The topic does not exist, or must not be read.</exception>
    public async Task StartAsync<TKey, TValue>(MessageProcessor<TKey, TValue> processor, CancellationToken cancellationToken)
    {
        await FindTopicAsync(cancellationToken).ConfigureAwait(false);
        processor.Start();
        // A processor that fails would leave the wait without an end.
        if (await Task.WhenAny(_assigned.Task.WaitAsync(cancellationToken), processor.Completion).ConfigureAwait(false) is { } ended
            && ended == processor.Completion)
            await ended.ConfigureAwait(false);
        foreach (var partition in await _assigned.Task.WaitAsync(cancellationToken).ConfigureAwait(false))
            await FindEndAsync(processor.Consumer, partition, cancellationToken).ConfigureAwait(false);
    }

    private async Task FindTopicAsync(CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (BrokerException e) when (e.Action == ErrorAction.Retry)
            {
                if (attempt == 1)
                    LogRetry(topic, e.Message);
                await BackOffAsync(attempt, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task FindEndAsync(IConsumer consumer, TopicPartition partition, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await consumer.GetPositionAsync(partition, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (ConsumeException e) when (e.Code == ErrorCode.UnknownTopicOrPartition)
            {
                // A broker may not know a new topic yet. The consumer looks for its end again.
                await BackOffAsync(attempt, cancellationToken).ConfigureAwait(false);
            }
            catch (ConsumeException refused)
            {
                throw new BrokerException(refused.Code, refused.Message, refused);
            }
        }
    }

    private Task BackOffAsync(int attempt, CancellationToken cancellationToken) =>
        Task.Delay(reader.BackoffAfter(attempt), reader.TimeProvider, cancellationToken);

    [LoggerMessage(58, LogLevel.Warning, "The topic {Topic} cannot be looked up yet; the subscription waits for it. {Reason}")]
    private partial void LogRetry(string topic, string reason);
}
