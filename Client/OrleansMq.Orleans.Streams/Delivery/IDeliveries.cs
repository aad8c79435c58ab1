namespace OrleansMq.Streams;

/// <summary>Delivers the events of one cursor to their subscribers.</summary>
internal interface IDeliveries
{
    /// <summary>Delivers an event to every subscriber.</summary>
    /// <returns>The answer of each subscriber; none: the event has none.</returns>
    Task<IReadOnlyList<DeliveryAnswer>> DeliverAsync(StreamEvent @event, CancellationToken cancellationToken);
}

/// <summary>An event of a cursor.</summary>
/// <param name="Stream">Its stream.</param>
/// <param name="Queue">The cursor's id.</param>
/// <param name="Partition">Its partition.</param>
/// <param name="Offset">Its offset.</param>
/// <param name="Value">Its value.</param>
internal readonly record struct StreamEvent(StreamId Stream, Guid Queue, int Partition, long Offset, byte[]? Value)
{
    public StreamDelivery To(string provider, Guid subscription) => new(provider, Stream, subscription, Queue, Partition, Offset, Value);
}

/// <summary>Delivers to the grain of a class that subscribes by its attribute.</summary>
internal sealed class ImplicitDeliveries(string provider, ImplicitSubscriber subscriber, GrainCaller caller) : IDeliveries
{
    /// <inheritdoc/>
    public async Task<IReadOnlyList<DeliveryAnswer>> DeliverAsync(StreamEvent @event, CancellationToken cancellationToken)
    {
        GrainId grain;
        try
        {
            grain = subscriber.GrainOf(@event.Stream);
        }
        catch (ArgumentException refused)
        {
            return [new DeliveryAnswer(DeliveryOutcome.Unreadable, refused.Message)];
        }
        return [await caller.DeliverAsync(grain, @event.To(provider, subscriber.SubscriptionOf(provider, @event.Stream)), cancellationToken)
            .ConfigureAwait(false)];
    }
}

/// <summary>Delivers to the grains that have subscribed to the event's stream.</summary>
internal sealed class ExplicitDeliveries(string provider, SubscriptionLog subscriptions, GrainCaller caller) : IDeliveries
{
    /// <inheritdoc/>
    public async Task<IReadOnlyList<DeliveryAnswer>> DeliverAsync(StreamEvent @event, CancellationToken cancellationToken)
    {
        // A subscription that was answered before the event was appended is in the table now.
        await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        var subscribers = subscriptions.Table.Find(@event.Stream)
            .Where(subscription => subscription.Receives(@event.Partition, @event.Queue, @event.Offset)).ToList();
        var answers = await Task.WhenAll(subscribers.Select(subscription =>
            caller.DeliverAsync(subscription.Grain, @event.To(provider, subscription.Id), cancellationToken))).ConfigureAwait(false);
        if (Array.TrueForAll(answers, static answer => answer.Outcome == DeliveryOutcome.Served))
            return answers;
        await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        var remaining = subscriptions.Table.Find(@event.Stream).Select(static subscription => subscription.Id).ToHashSet();
        return [.. answers.Where((_, index) => remaining.Contains(subscribers[index].Id))];
    }
}
