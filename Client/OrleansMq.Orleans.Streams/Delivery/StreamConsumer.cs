using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using Orleans.Streams.Core;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>The subscriptions of one activation: their observers, and how far each was served. Runs in the activation's turns.</summary>
/// <param name="context">The activation.</param>
/// <param name="services">The silo's services.</param>
internal sealed class StreamConsumer(IGrainContextAccessor context, IServiceProvider services) : IStreamConsumer
{
    // The last event of a call then has nearly all of the time that a call may take.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private readonly IGrainContext _grain = context.GrainContext;
    private readonly Dictionary<Guid, Attached> _attached = [];
    private readonly HashSet<Guid> _removed = [];
    // Of subscriptions that were resumed from a token. They need no disposal: nothing takes their wait handles.
    private readonly Dictionary<Guid, SemaphoreSlim> _resuming = [];

    /// <summary>Attaches an observer, in place of an earlier one of the subscription.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="observer">The observer.</param>
    /// <param name="replay">The newest replay of the subscription, as far as the caller knows; null: it has none.</param>
    public void Attach(Guid subscription, IStreamObserver observer, Replay? replay = null)
    {
        if (_attached.TryGetValue(subscription, out var attached))
            attached.Observer = observer;
        else
            _attached[subscription] = attached = new Attached(observer);
        var origin = attached.Served.Replay.Origin;
        attached.Served.Begin(KnownReplay.Of(replay));
        // What the observer has now says nothing of how far a replay from a new token is.
        if (attached.Served.Replay.Origin != origin)
            attached.Observed = null;
    }

    /// <summary>
    /// Begins to resume a subscription from a token, when no other call does so: the activation of such a subscription is between two
    /// replays, and each call goes back to the one that was before it. Of calls that interleave, the later one waits for the earlier one.
    /// </summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="longest">How long it waits.</param>
    /// <returns>What ends it; null: the earlier call has not ended.</returns>
    public async Task<IDisposable?> TryResumeAsync(Guid subscription, TimeSpan longest)
    {
        if (!_resuming.TryGetValue(subscription, out var turn))
            _resuming[subscription] = turn = new SemaphoreSlim(1);
        return await turn.WaitAsync(longest) ? new Resuming(turn) : null;
    }

    /// <summary>Returns what takes an attachment back to what it is now, for a call that resumes the subscription from a token and is given
    /// up. It does nothing where the replay that was attached since then has delivered: that one is in force, or one that is later. The
    /// observer stays that of a later call without a token.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="next">The call's observer.</param>
    public Action Keep(Guid subscription, IStreamObserver next)
    {
        var before = _attached.GetValueOrDefault(subscription);
        var (observer, replay) = (before?.Observer, before?.Served.Replay ?? default);
        return () =>
        {
            // Where it was removed in the meantime, this call has attached it again.
            if (!_attached.TryGetValue(subscription, out var attached) || !attached.Served.GoBack(attached == before ? replay : default)
                || attached.Observer != next)
                return;
            if (attached == before)
                attached.Observer = observer!;
            else
                _attached.Remove(subscription);
        };
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
        var began = TimeProvider.System.GetTimestamp();
        if (!_attached.TryGetValue(delivery.Subscription, out var attached))
        {
            if (_removed.Contains(delivery.Subscription))
                return new DeliveryAnswer(0, DeliveryOutcome.Removed);
            if (_grain.GrainInstance is IStreamSubscriptionObserver late && await OfferAsync(late, delivery) is { } refused)
                return refused;
            if (!_attached.TryGetValue(delivery.Subscription, out attached))
                return OfOtherVersion(delivery) ?? NotObserved(delivery, 0);
        }
        // A dispatcher that could not settle what it delivers may still wait for its call, also where calls interleave.
        await attached.Turn.WaitAsync();
        try
        {
            return await ObserveAsync(delivery, attached, began);
        }
        finally
        {
            attached.Observed = null;
            attached.Turn.Release();
        }
    }

    /// <inheritdoc/>
    public Task<long?> FindObservedAsync(Guid subscription) => Task.FromResult(_attached.GetValueOrDefault(subscription)?.Observed);

    private async Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, Attached attached, long began)
    {
        var (events, replay) = (attached.Served, KnownReplay.Of(delivery));
        events.Deliver(replay);
        if (events.IsOutdated(replay))
            return Replayed(delivery, 0);
        // Delivered before, by a dispatcher that could not settle them, or that another cursor has taken over from.
        var count = events.Last(delivery.Queue, delivery.Partition) is { } served
            ? delivery.Items.TakeWhile(item => item.Offset <= served).Count() : 0;
        var isApart = false;
        while (count < delivery.Items.Length)
        {
            // The one before may have removed the subscription.
            if (_attached.GetValueOrDefault(delivery.Subscription) != attached)
                return NotObserved(delivery, count);
            if (events.IsOutdated(replay))
                return Replayed(delivery, count);
            var end = attached.Observer.TakesBatches && !isApart ? delivery.Items.Length : count + 1;
            attached.Observed = delivery.Items[count].Offset;
            var answer = await attached.Observer.ObserveAsync(delivery, count, end, services);
            // A batch that failed does not say which of its events is the cause.
            if (answer.Outcome == DeliveryOutcome.Failed && end - count > 1)
            {
                isApart = true;
                continue;
            }
            count += answer.Count;
            if (answer.Count > 0)
                events.Serve(replay, delivery.Queue, delivery.Partition, delivery.Items[count - 1].Offset);
            if (answer.Outcome != DeliveryOutcome.Served)
                return answer with { Count = count };
            if (TimeProvider.System.GetElapsedTime(began) > Longest)
                break;
        }
        return new DeliveryAnswer(count, DeliveryOutcome.Served);
    }

    // The replay delivers them.
    private DeliveryAnswer Replayed(StreamDelivery delivery, int count) => new(count, DeliveryOutcome.Unreachable,
        $"Grain {_grain.GrainId} was resuming the subscription from a token, or another cursor took it over, when the event came.");

    private DeliveryAnswer NotObserved(StreamDelivery delivery, int count) => new(count, DeliveryOutcome.NotObserved,
        $"Grain {_grain.GrainId} attached no observer to stream {delivery.Stream} of provider '{delivery.Provider}': subscribe, or resume "
        + $"the subscription's handle, in {nameof(Grain.OnActivateAsync)}, or implement {nameof(IStreamSubscriptionObserver)}.");

    // In a rolling deployment, and after one. Null: the subscription is one of this version.
    private DeliveryAnswer? OfOtherVersion(StreamDelivery delivery)
    {
        var provider = (OrleansMqStreamProvider)services.GetRequiredKeyedService<IStreamProvider>(delivery.Provider);
        // A version that subscribed by itself has left it: the class's own subscription has the event.
        if (provider.FindImplicit(_grain, delivery.Stream) is { } own)
            return own == delivery.Subscription ? null : new(delivery.Items.Length, DeliveryOutcome.Served);
        return provider.IsImplicit(_grain, delivery.Stream, delivery.Subscription)
            ? new(0, DeliveryOutcome.Unreachable, $"Grain {_grain.GrainId} is active on a silo whose version of its class does not "
                + $"subscribe to topic '{delivery.Stream.GetNamespace()}'. The event waits for one that does.")
            : null;
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
            return new DeliveryAnswer(0, DeliveryOutcome.Failed, Causes.Of(thrown));
        }
    }

    private sealed class Resuming(SemaphoreSlim turn) : IDisposable
    {
        public void Dispose() => turn.Release();
    }

    private sealed class Attached(IStreamObserver observer)
    {
        public IStreamObserver Observer { get; set; } = observer;
        public ServedEvents Served { get; } = new();
        public SemaphoreSlim Turn { get; } = new(1);
        // The first event that the observer has now.
        public long? Observed { get; set; }
    }
}
