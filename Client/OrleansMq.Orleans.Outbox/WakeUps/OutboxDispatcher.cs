using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using Message = OrleansMq.Client.QueueMessage<string?, string?>;

namespace OrleansMq.Outboxes;

/// <summary>Wakes grains whose messages may not be delivered, while the silo is active. Every silo with outboxes has one; they share the
/// wake-ups.</summary>
internal sealed partial class OutboxDispatcher(OutboxServices services, IGrainFactory grains, ILogger<OutboxDispatcher> logger)
    : ILifecycleParticipant<ISiloLifecycle>
{
    // Starts after the broker of the silo serves; stops before its partitions are handed over.
    private const int Stage = ServiceLifecycleStage.Active + 1;
    private const int Concurrency = 64;

    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan SessionTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan MaxFailureDelay = TimeSpan.FromMinutes(5);

    private readonly CancellationTokenSource _stopping = new();
    private Task _running = Task.CompletedTask;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(OutboxDispatcher), Stage, StartAsync, StopAsync);

    private Task StartAsync(CancellationToken cancellationToken)
    {
        _running = Task.Run(RunAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken deadline)
    {
        await _stopping.CancelAsync();
        // What has not ended by then goes back with the silo's sessions.
        await _running.WaitAsync(StopTimeout, deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task RunAsync()
    {
        var stopping = _stopping.Token;
        var hasFailed = false;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await services.WakeUps.Client.Broker.GetTopicAsync(OutboxWakeUps.Topic, stopping).ConfigureAwait(false);
                await using var consumer = services.WakeUps.Client.CreateQueueConsumer<string?, string?>(new QueueConsumerOptions
                {
                    Topic = OutboxWakeUps.Topic,
                    Queue = OutboxWakeUps.Queue,
                    SessionTimeout = SessionTimeout,
                    MaxWait = SessionTimeout / 2,
                });
                hasFailed = false;
                await consumer.RunAsync(HandleAsync, Concurrency, stopping).ConfigureAwait(false);
            }
            catch (Exception) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (BrokerException none) when (none.Code == ErrorCode.UnknownTopicOrPartition)
            {
                // The first wake-up creates it. While a cluster starts, it would have the replicas of the first broker alone.
                await Task.Delay(RetryDelay, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception failure)
            {
                // Whatever it is, the next round may find it mended; without one no grain would be woken.
                if (!hasFailed)
                    LogRetry(failure);
                hasFailed = true;
                await Task.Delay(RetryDelay, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async ValueTask HandleAsync(Message message, CancellationToken cancellationToken)
    {
        if (!GrainText.TryParse(message.Value, out var grain)
            || !OutboxWakeUps.TryParseKey(message.Key, out var state, out var record))
        {
            LogUnreadable(message.TopicPartition, message.Offset);
            await message.CompleteAsync(cancellationToken).ConfigureAwait(false);
            return;
        }
        var delay = services.Options.WakeUpDelay;
        // The grain is writing now. Nearly always it delivers the messages itself.
        if (message.Deliveries == 1)
        {
            await message.ReleaseAsync(delay, cancellationToken).ConfigureAwait(false);
            return;
        }
        var isSettled = false;
        Exception? failure = null;
        try
        {
            isSettled = await grains.GetGrain(grain).AsReference<IOutboxExtension>().WakeUpAsync(state, record).WaitAsync(cancellationToken)
                .ConfigureAwait(false);
        }
        catch (Exception thrown) when (!cancellationToken.IsCancellationRequested)
        {
            // The grain cannot be activated, or not be reached: its storage is away, its silo is lost, no silo has its class.
            failure = thrown;
        }
        // The new record first: the grain has one at any time. Both have one id, so for the grain they are the same.
        var isRenewed = !isSettled && IsOld(message.Time, TimeProvider.System.GetUtcNow(), services.Options.MaxRecordAge)
            && await TryRenewAsync(grain, state, record).ConfigureAwait(false);
        var wait = failure is null || isRenewed ? delay : DelayAfter(delay, message.Failures);
        if (failure is not null)
            LogFailed(grain, wait, failure);
        if (isSettled || isRenewed)
            await message.CompleteAsync(cancellationToken).ConfigureAwait(false);
        else if (failure is null)
            await message.ReleaseAsync(wait, cancellationToken).ConfigureAwait(false);
        else
            await message.AbandonAsync(wait, cancellationToken).ConfigureAwait(false);
    }

    private async Task<bool> TryRenewAsync(GrainId grain, string state, Guid record)
    {
        try
        {
            await services.WakeUps.StoreAsync(grain, state, record).ConfigureAwait(false);
            return true;
        }
        catch (OrleansMqException failure)
        {
            // It may be stored nevertheless. Then it is settled as this one is.
            LogNotRenewed(grain, failure);
            return false;
        }
    }

    /// <summary>Whether a record that is not settled is to be stored again, at the end of its partition. A partition is kept from its first
    /// unsettled record on. So one grain that keeps writing, or cannot be woken, does not keep the records of all others.</summary>
    /// <param name="stored">When it was stored.</param>
    /// <param name="now">The time.</param>
    /// <param name="maxAge">See <see cref="OrleansMqOutboxOptions.MaxRecordAge"/>.</param>
    internal static bool IsOld(DateTimeOffset stored, DateTimeOffset now, TimeSpan maxAge) => now - stored >= maxAge;

    /// <summary>Returns how long a wake-up waits after a call that failed. Calls that succeeded in between do not count. A record that is
    /// stored again has no failures.</summary>
    /// <param name="delay">The wait after the first failure.</param>
    /// <param name="failures">How many calls failed before.</param>
    internal static TimeSpan DelayAfter(TimeSpan delay, int failures)
    {
        var wait = delay * (1 << Math.Min(failures, 10));
        var most = delay < MaxFailureDelay ? MaxFailureDelay : delay;
        return wait < most ? wait : most;
    }

    [LoggerMessage(1, LogLevel.Warning, "Wake-ups of outboxes are not received now; retrying.")]
    private partial void LogRetry(Exception reason);

    [LoggerMessage(2, LogLevel.Warning, "Grain {Grain} was not woken to deliver the messages of its outbox; it is tried again in {Delay}.")]
    private partial void LogFailed(GrainId grain, TimeSpan delay, Exception failure);

    [LoggerMessage(4, LogLevel.Warning, "The wake-up of grain {Grain} is old and was not stored again; it is tried again.")]
    private partial void LogNotRenewed(GrainId grain, Exception failure);

    [LoggerMessage(3, LogLevel.Error, "The record at {Partition}, offset {Offset}, names no grain, and is left out.")]
    private partial void LogUnreadable(TopicPartition partition, long offset);
}
