namespace OrleansMq.Streams;

/// <summary>Delivers the events of one cursor to their subscribers.</summary>
internal interface IDeliveries
{
    /// <summary>Delivers events of one stream to every subscriber.</summary>
    Task<RunAnswer> DeliverAsync(StreamRun run, SemaphoreSlim places, CancellationToken cancellationToken);
}

/// <summary>Events of one stream that are delivered together, in order.</summary>
/// <param name="Stream">Their stream.</param>
/// <param name="Queue">The cursor's id.</param>
/// <param name="Partition">Their partition.</param>
/// <param name="Items">The events; one or more.</param>
internal sealed record StreamRun(StreamId Stream, Guid Queue, int Partition, StreamItem[] Items)
{
    /// <summary>Returns the delivery to a subscription, without the first events.</summary>
    public StreamDelivery To(string provider, Guid subscription, int skipped = 0) =>
        new(provider, Stream, subscription, Queue, Partition, skipped == 0 ? Items : Items[skipped..]);
}

/// <summary>What became of the events of a run.</summary>
/// <param name="Count">The number of events that all subscribers have served: the first ones.</param>
/// <param name="Unserved">The answers about the event after them of those that have not served it. None: all events are served, or those
/// that are not are delivered again at once.</param>
internal sealed record RunAnswer(int Count, IReadOnlyList<DeliveryAnswer> Unserved)
{
    /// <summary>Returns the answer of all subscribers, from that of each.</summary>
    /// <param name="count">The number of events.</param>
    /// <param name="answers">The answers; none: the events have no subscriber.</param>
    public static RunAnswer Of(int count, IReadOnlyCollection<DeliveryAnswer> answers)
    {
        var served = answers.Count == 0 ? count : answers.Min(static answer => answer.Count);
        return new RunAnswer(served, [.. answers.Where(answer => answer.Count == served && answer.Outcome != DeliveryOutcome.Served)]);
    }
}

/// <summary>Delivers to the grain of a class that subscribes by its attribute.</summary>
internal sealed class ImplicitDeliveries(string provider, ImplicitSubscriber subscriber, GrainCaller caller) : IDeliveries
{
    /// <inheritdoc/>
    public async Task<RunAnswer> DeliverAsync(StreamRun run, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        GrainId grain;
        try
        {
            grain = subscriber.GrainOf(run.Stream);
        }
        catch (ArgumentException refused)
        {
            return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Unreadable, refused.Message)]);
        }
        return RunAnswer.Of(run.Items.Length, [await caller.DeliverAsync(grain,
            run.To(provider, subscriber.SubscriptionOf(provider, run.Stream)), places, cancellationToken).ConfigureAwait(false)]);
    }
}

/// <summary>Delivers to the grains that have subscribed to the events' stream.</summary>
internal sealed class ExplicitDeliveries(string provider, SubscriptionLog subscriptions, GrainCaller caller) : IDeliveries
{
    /// <inheritdoc/>
    public async Task<RunAnswer> DeliverAsync(StreamRun run, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        // A subscription that was answered before an event was appended is in the table now.
        await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        var subscribers = subscriptions.Table.Find(run.Stream);
        var answers = await Task.WhenAll(subscribers.Select(subscription => DeliverAsync(run, subscription, places, cancellationToken)))
            .ConfigureAwait(false);
        foreach (var (subscription, _) in subscribers.Zip(answers).Where(static pair => pair.Second.Outcome == DeliveryOutcome.Removed))
        {
            _ = subscriptions.RemoveEventuallyAsync(new SubscriptionKey(run.Stream.GetNamespace()!, run.Stream.Key.ToArray(),
                subscription.Id));
        }
        if (Array.TrueForAll(answers, static answer => answer.Outcome == DeliveryOutcome.Served))
            return RunAnswer.Of(run.Items.Length, answers);
        await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        var remaining = subscriptions.Table.Find(run.Stream).Select(static subscription => subscription.Id).ToHashSet();
        return RunAnswer.Of(run.Items.Length, [.. answers.Where((answer, index) =>
            answer.Outcome != DeliveryOutcome.Removed && remaining.Contains(subscribers[index].Id))]);
    }

    private async Task<DeliveryAnswer> DeliverAsync(StreamRun run, ExplicitSubscription subscription, SemaphoreSlim places,
        CancellationToken cancellationToken)
    {
        var skipped = run.Items.TakeWhile(item => !subscription.Receives(run.Partition, run.Queue, item.Offset)).Count();
        if (skipped == run.Items.Length)
            return new DeliveryAnswer(skipped, DeliveryOutcome.Served);
        var answer = await caller.DeliverAsync(subscription.Grain, run.To(provider, subscription.Id, skipped), places,
            cancellationToken).ConfigureAwait(false);
        return answer with { Count = skipped + answer.Count };
    }
}
