using System.Text;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>Events of one stream that are delivered together, in order.</summary>
/// <param name="Stream">Their stream.</param>
/// <param name="Queue">The cursor's id.</param>
/// <param name="Partition">Their partition.</param>
/// <param name="Items">The events; one or more.</param>
/// <param name="Records">What they are read from.</param>
internal sealed record StreamRun(StreamId Stream, Guid Queue, int Partition, StreamItem[] Items, RecordRun Records)
{
    /// <summary>Returns the events of a run of records.</summary>
    /// <param name="run">The run.</param>
    /// <param name="deliveries">What delivers them.</param>
    public static StreamRun Of(RecordRun run, IDeliveries deliveries) =>
        new(StreamId.Create(Encoding.UTF8.GetBytes(run.Topic), run.Key.AsSpan()), run.Queue, run.Partition,
            [.. run.Messages.Select(message => new StreamItem(message.Offset, message.Value,
                deliveries.FailuresBefore(message.Offset) + message.Failures))], run);

    /// <summary>Returns the delivery to a subscription that a grain has by its class, without the first events.</summary>
    public StreamDelivery To(string provider, Guid subscription, int skipped) => new(provider, Stream, subscription, Queue, Partition,
        skipped == 0 ? Items : Items[skipped..])
    {
        DeliveryId = DeliveryIds.Next(),
    };

    /// <summary>Returns the delivery to an explicit subscription, without the first events.</summary>
    /// <param name="provider">The provider.</param>
    /// <param name="subscription">The subscription.</param>
    /// <param name="skipped">The number of the first events.</param>
    /// <param name="queue">The cursor that an activation takes it to come from: what a replay has delivered is not delivered again by the
    /// shared cursor.</param>
    public StreamDelivery To(string provider, ExplicitSubscription subscription, int skipped, Guid queue) => new(provider, Stream,
        subscription.Id, queue, Partition, skipped == 0 ? Items : Items[skipped..],
        subscription.Replay?.Number ?? 0, subscription.Replay?.Id ?? Guid.Empty, subscription.Replay?.Continues,
        subscription.Replay?.Generation ?? 0, DeliveryIds.Next());
}

/// <summary>Delivers to the grain of a class that subscribes by its attribute.</summary>
internal sealed class ImplicitDeliveries(OrleansMqStreamProvider provider, ImplicitSubscriber subscriber, GrainCaller caller) : IDeliveries
{
    // While an activation is replayed from a token. Each release is stored.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(500);

    /// <inheritdoc/>
    /// <remarks>Such a record belongs to no stream.</remarks>
    public string? CauseWithoutKey => null;

    /// <inheritdoc/>
    public long MaxRun => caller.MaxRun;

    /// <inheritdoc/>
    public async Task<RunAnswer> DeliverAsync(RecordRun records, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        var run = StreamRun.Of(records, this);
        GrainId grain;
        try
        {
            grain = subscriber.GrainOf(run.Stream);
        }
        catch (ArgumentException refused)
        {
            return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Unreadable, refused.Message)]);
        }
        var (subscription, began, pause) = (subscriber.SubscriptionOf(provider.Name, run.Stream), TimeProvider.System.GetTimestamp(),
            FirstPause);
        for (var served = 0; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            var answer = await caller.DeliverAsync(grain, new StreamGrainDelivery(run.To(provider.Name, subscription, served), records),
                places, cancellationToken).ConfigureAwait(false);
            served += answer.Count;
            if (answer.Outcome != DeliveryOutcome.Waits || TimeProvider.System.GetElapsedTime(began) >= LongestWait)
                return RunAnswer.Of(run.Items.Length, [answer with { Count = served }]);
            using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, records.Ended);
            await Task.Delay(pause, ending.Token).ConfigureAwait(false);
        }
    }
}

/// <summary>Delivers the events of a replay to the grain that resumed or subscribed with a token.</summary>
internal sealed class ReplayDeliveries(OrleansMqStreamProvider provider, Replay replay, GrainCaller caller) : IDeliveries
{
    /// <inheritdoc/>
    /// <remarks>Its cursor has the events of one key.</remarks>
    public string? CauseWithoutKey => null;

    /// <inheritdoc/>
    public int FailuresBefore(long offset) => replay.FailuresAt(offset);

    /// <inheritdoc/>
    public long MaxRun => caller.MaxRun;

    /// <inheritdoc/>
    public async Task<RunAnswer> DeliverAsync(RecordRun records, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        var (run, subscriptions) = (StreamRun.Of(records, this), provider.Subscriptions);
        if (await FindAsync().ConfigureAwait(false) is not { } subscription)
            return new RunAnswer(run.Items.Length, []);
        var answer = await caller.DeliverAsync(subscription.Grain,
            new StreamGrainDelivery(run.To(provider.Name, subscription, skipped: 0, subscription.Queue), records), places,
            cancellationToken).ConfigureAwait(false);
        if (answer.Outcome == DeliveryOutcome.Removed)
            _ = subscriptions.AbandonEventuallyAsync(OrleansMqStreamProvider.KeyOf(run.Stream, subscription.Id));
        if (answer.Outcome == DeliveryOutcome.Served)
            return RunAnswer.Of(run.Items.Length, [answer]);
        return await FindAsync().ConfigureAwait(false) is null ? new RunAnswer(run.Items.Length, [])
            : RunAnswer.Of(run.Items.Length, [StreamSubscribers.AnswerOf(answer)]);

        // Null: it is over. The shared cursor delivers what it has not, or a later replay, or no subscription wants it.
        async Task<ExplicitSubscription?> FindAsync()
        {
            await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
            return subscriptions.Table.FindStep(replay.Id) == ReplayStep.Joined ? null
                : subscriptions.Table.Find(run.Stream).FirstOrDefault(found => found.Replay?.Id == replay.Id);
        }
    }
}

/// <summary>Delivers events of one subscription to its grain.</summary>
internal sealed class StreamGrainDelivery(StreamDelivery delivery, RecordRun run) : IGrainDelivery
{
    /// <inheritdoc/>
    public string Origin => $"subscription {delivery.Subscription}";

    /// <inheritdoc/>
    public string Installation => $"AddOrleansMqStreams(\"{delivery.Provider}\")";

    /// <inheritdoc/>
    public IEnumerable<long> Offsets => delivery.Items.Select(static item => item.Offset);

    /// <inheritdoc/>
    public long Size => run.Size;

    /// <inheritdoc/>
    public CancellationToken Ended => run.Ended;

    /// <inheritdoc/>
    public Task<DeliveryAnswer> CallAsync(IGrainFactory grains, GrainId grain, CancellationToken cancellationToken) =>
        ExtensionReferences<IStreamConsumer>.Of(grains, grain).DeliverAsync(delivery);

    /// <inheritdoc/>
    public Task<long?> FindCurrentAsync(IGrainFactory grains, GrainId grain) =>
        ExtensionReferences<IStreamConsumer>.Of(grains, grain).FindObservedOfAsync(delivery.Subscription, delivery.Queue,
            delivery.Partition);

    /// <inheritdoc/>
    public Task<bool> IsDeliveringAsync(IGrainFactory grains, GrainId grain) =>
        ExtensionReferences<IStreamConsumer>.Of(grains, grain).IsDeliveringAsync(delivery.DeliveryId);
}
