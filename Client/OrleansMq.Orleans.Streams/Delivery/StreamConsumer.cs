using Orleans.Streams.Core;

namespace OrleansMq.Streams;

/// <summary>The subscriptions of one activation: their observers, and how far each was served. Runs in the activation's turns.</summary>
/// <param name="context">The activation.</param>
/// <param name="services">The silo's services.</param>
internal sealed class StreamConsumer(IGrainContextAccessor context, IServiceProvider services) : IStreamConsumer
{
    private readonly IGrainContext _grain = context.GrainContext;
    private readonly Dictionary<Guid, Attached> _attached = [];
    private readonly HashSet<Guid> _removed = [];

    /// <summary>Attaches an observer, in place of an earlier one of the subscription.</summary>
    public void Attach(Guid subscription, IStreamObserver observer)
    {
        if (_attached.TryGetValue(subscription, out var attached))
            attached.Observer = observer;
        else
            _attached[subscription] = new Attached(observer);
    }

    /// <summary>Detaches the observer of a subscription that is removed. A late event for it is not offered to the grain.</summary>
    public void Remove(Guid subscription)
    {
        _attached.Remove(subscription);
        _removed.Add(subscription);
    }

    /// <inheritdoc/>
    public async Task<DeliveryAnswer> DeliverAsync(StreamDelivery delivery)
    {
        if (!_attached.TryGetValue(delivery.Subscription, out var attached))
        {
            if (_grain.GrainInstance is IStreamSubscriptionObserver late && !_removed.Contains(delivery.Subscription)
                && await OfferAsync(late, delivery) is { } refused)
                return refused;
            if (!_attached.TryGetValue(delivery.Subscription, out attached))
            {
                return new DeliveryAnswer(DeliveryOutcome.NotObserved, $"Grain {_grain.GrainId} attached no observer to stream "
                    + $"{delivery.Stream} of provider '{delivery.Provider}': subscribe, or resume the subscription's handle, in "
                    + $"{nameof(Grain.OnActivateAsync)}, or implement {nameof(IStreamSubscriptionObserver)}.");
            }
        }
        var position = (delivery.Queue, delivery.Partition);
        // Delivered before, by a dispatcher that could not settle it.
        if (attached.Served.TryGetValue(position, out var served) && delivery.Offset <= served)
            return DeliveryAnswer.Served;
        var answer = await attached.Observer.ObserveAsync(delivery, services);
        if (answer.Outcome == DeliveryOutcome.Served)
            attached.Served[position] = delivery.Offset;
        return answer;
    }

    private async Task<DeliveryAnswer?> OfferAsync(IStreamSubscriptionObserver observer, StreamDelivery delivery)
    {
        try
        {
            await observer.OnSubscribed(new SubscriptionHandleFactory(services, delivery.Provider, delivery.Stream, delivery.Subscription));
            return null;
        }
        catch (Exception thrown)
        {
            return new DeliveryAnswer(DeliveryOutcome.Failed, Causes.Of(thrown));
        }
    }

    private sealed class Attached(IStreamObserver observer)
    {
        public IStreamObserver Observer { get; set; } = observer;
        // One entry, unless a producer chose partitions or the topic was created again.
        public Dictionary<(Guid Queue, int Partition), long> Served { get; } = [];
    }
}
