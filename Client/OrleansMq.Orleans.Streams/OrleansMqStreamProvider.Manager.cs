using Orleans.Concurrency;
using Orleans.Streams;
using Orleans.Streams.Core;

namespace OrleansMq.Streams;

/// <summary>Subscriptions that others than the grain itself add and remove, on silos and clients.</summary>
internal sealed partial class OrleansMqStreamProvider : IStreamSubscriptionManagerRetriever, IStreamSubscriptionManager
{
    /// <inheritdoc/>
    public IStreamSubscriptionManager GetStreamSubscriptionManager() => this;

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The provider is another one, the stream is none of it, or the grain is a client.</exception>
    public async Task<StreamSubscription> AddSubscription(string streamProviderName, StreamId streamId, GrainReference grainRef)
    {
        ArgumentNullException.ThrowIfNull(grainRef);
        RequireOwn(streamProviderName, streamId);
        if (grainRef.GrainId.IsClient() || grainRef.GrainId.IsSystemTarget())
            throw new ArgumentException($"{grainRef.GrainId} is no grain, and cannot be subscribed.", nameof(grainRef));
        var id = Guid.NewGuid();
        await WriteAsync(streamId, id, grainRef.GrainId, token: null, attach: static _ => { },
            giveUp: (key, write) => _ = Subscriptions.AbandonEventuallyAsync(key, write)).ConfigureAwait(false);
        return new StreamSubscription(id, Name, streamId, grainRef.GrainId);
    }

    /// <inheritdoc/>
    /// <remarks>It does nothing where there is none. A call to the grain that is under way ends.</remarks>
    /// <exception cref="NotSupportedException">On a silo: the grain subscribes by the attribute of its class. A client does not know the
    /// classes, and does nothing.</exception>
    public async Task RemoveSubscription(string streamProviderName, StreamId streamId, Guid subscriptionId)
    {
        RequireOwn(streamProviderName, streamId);
        if (FindImplicit(streamId).Any(found => found.SubscriptionId == subscriptionId))
        {
            throw new NotSupportedException($"Subscription {subscriptionId} to stream {streamId} is by the attribute of a grain class, and "
                + "cannot be removed alone: remove the attribute.");
        }
        await Retries.RunAsync(() => Subscriptions.CatchUpAsync(CancellationToken.None)).ConfigureAwait(false);
        if (Subscriptions.Table.Find(streamId, subscriptionId) is not { } left)
            return;
        await Subscriptions.WriteAsync(KeyOf(streamId, subscriptionId), null, CancellationToken.None).ConfigureAwait(false);
        Leave(streamId, left);
    }

    /// <inheritdoc/>
    /// <remarks>On a silo also those by the attributes of the classes that the cluster has.</remarks>
    public async Task<IEnumerable<StreamSubscription>> GetSubscriptions(string streamProviderName, StreamId streamId)
    {
        RequireOwn(streamProviderName, streamId);
        await Retries.RunAsync(() => Subscriptions.CatchUpAsync(CancellationToken.None)).ConfigureAwait(false);
        return [.. FindImplicit(streamId), .. Subscriptions.Table.Find(streamId)
            .Select(found => new StreamSubscription(found.Id, Name, streamId, found.Grain))];
    }

    private IEnumerable<StreamSubscription> FindImplicit(StreamId stream) => _implicit is not { } classes
        || !Topics.IsForImplicit(TopicOf(stream)) ? [] :
        // A class with several attributes that cover the topic subscribes by the first of them.
        from subscriber in classes.All.Where(subscriber => classes.Covers(subscriber, TopicOf(stream)))
            .DistinctBy(static subscriber => subscriber.GrainType)
        let grain = subscriber.TryGetGrainOf(stream)
        where grain is not null
        select new StreamSubscription(subscriber.SubscriptionOf(Name, stream), Name, stream, grain.Value);

    private void RequireOwn(string provider, StreamId stream)
    {
        if (!string.Equals(provider, Name, StringComparison.Ordinal))
        {
            throw new ArgumentException($"The subscriptions of provider '{provider}' are not managed by that of provider '{Name}': use the "
                + "manager of its own.", nameof(provider));
        }
        RequireStream(stream);
    }

    /// <summary>Whether a grain may have several activations on a silo.</summary>
    internal static bool IsStatelessWorker(IGrainContext grain) =>
        grain.GrainInstance?.GetType().IsDefined(typeof(StatelessWorkerAttribute), inherit: true) == true;

    // Each event may come to another activation, which has to attach an observer of its own, and none goes back.
    private void RequireEveryActivation(IGrainContext grain, StreamId stream, StreamSequenceToken? token)
    {
        if (grain.GrainInstance is not { } instance || !IsStatelessWorker(grain))
            return;
        if (instance is not IStreamSubscriptionObserver)
        {
            throw new InvalidOperationException($"Grain {grain.GrainId} is a [StatelessWorker], and an event of stream {stream} may come "
                + $"to any of its activations: implement {nameof(IStreamSubscriptionObserver)}, which attaches an observer in each.");
        }
        if (token is not null)
        {
            throw new InvalidOperationException($"Grain {grain.GrainId} is a [StatelessWorker], whose activations share a subscription to "
                + $"stream {stream}: subscribe without a token.");
        }
    }
}
