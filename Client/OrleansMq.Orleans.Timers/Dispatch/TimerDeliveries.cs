using System.Text;
using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>Delivers timers that are due to their grains.</summary>
internal sealed class TimerDeliveries(CursorSources sources, GrainCaller caller, TimerCatalog catalog, string cursor) : IDeliveries
{
    private const int MostShown = 100;

    /// <inheritdoc/>
    public string CauseWithoutKey => "The record has no key, which would say which grain the timer is for.";

    /// <inheritdoc/>
    public long MaxRun => caller.MaxRun;

    /// <inheritdoc/>
    public async Task<RunAnswer> DeliverAsync(RecordRun run, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        if (!TimerRecords.TryReadKey(run.Key.AsSpan(), out var grain))
        {
            var shown = run.Key.AsSpan()[..Math.Min(run.Key.AsSpan().Length, MostShown)];
            return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Unreadable,
                $"The key '{Encoding.UTF8.GetString(shown)}' names no grain, such as 'order/42': the record is none of a timer.")]);
        }
        if (catalog.WhyNoKey(grain) is { } why)
            return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Unreadable, why)]);
        var topicId = await sources.FindTopicAsync(run.Messages[0].TopicPartition, cursor, run.Queue, cancellationToken)
            .ConfigureAwait(false);
        return RunAnswer.Of(run.Messages.Count, [await caller.DeliverAsync(grain, new TimerDelivery(RecordDelivery.Of(run, topicId), run),
            places, cancellationToken).ConfigureAwait(false)]);
    }
}

/// <summary>Delivers timers of one grain.</summary>
internal sealed class TimerDelivery(RecordDelivery delivery, RecordRun run) : IGrainDelivery
{
    /// <inheritdoc/>
    public string Origin => $"timers of topic {delivery.Topic}";

    /// <inheritdoc/>
    public string Installation => "AddOrleansMqTimers()";

    /// <inheritdoc/>
    public IEnumerable<long> Offsets => delivery.Items.Select(static item => item.Offset);

    /// <inheritdoc/>
    public long Size => run.Size;

    /// <inheritdoc/>
    public CancellationToken Ended => run.Ended;

    /// <inheritdoc/>
    public Task<DeliveryAnswer> CallAsync(IGrainFactory grains, GrainId grain, CancellationToken cancellationToken) =>
        ExtensionReferences<ITimerReceiver>.Of(grains, grain).DeliverAsync(delivery, cancellationToken);

    /// <inheritdoc/>
    public Task<long?> FindCurrentAsync(IGrainFactory grains, GrainId grain) =>
        ExtensionReferences<ITimerReceiver>.Of(grains, grain).FindCurrentAsync(delivery.SourceInQueue);

    /// <inheritdoc/>
    public Task<bool> IsDeliveringAsync(IGrainFactory grains, GrainId grain) =>
        ExtensionReferences<ITimerReceiver>.Of(grains, grain).IsDeliveringAsync(delivery.DeliveryId);
}
