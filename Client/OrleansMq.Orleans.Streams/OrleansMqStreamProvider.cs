using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Partitioning;

namespace OrleansMq.Streams;

/// <summary>A stream provider over topics: a stream's namespace is its topic, and its key the key of its records.</summary>
internal sealed class OrleansMqStreamProvider : IStreamProvider
{
    // Below the timeout of a grain's call, which is 30 seconds by default.
    private static readonly TimeSpan SubscribeTimeout = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(1);

    private readonly OrleansMqClient _client;
    private readonly IServiceProvider _services;
    private readonly Lazy<IProducer<byte[]?, byte[]?>> _producer;
    private readonly Lazy<SubscriptionLog> _subscriptions;

    public OrleansMqStreamProvider(string name, OrleansMqStreamOptions options, IServiceProvider services)
    {
        (Name, Options, _services) = (name, options, services);
        _client = services.GetRequiredService<OrleansMqClient>();
        // With acks=all and idempotence, whatever the client's own options are.
        _producer = new(() => services.GetRequiredService<ProducersAtStop>().Add(
            _client.CreateProducer<byte[]?, byte[]?>(new ProducerOptions())));
        _subscriptions = new(() => new SubscriptionLog(_client, _producer.Value, name,
            services.GetRequiredService<ILogger<OrleansMqStreamProvider>>()));
        Topics = new StreamTopics(_client, name, options);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    /// <remarks>Not yet. Tokens name offsets, which stay valid.</remarks>
    public bool IsRewindable => false;

    /// <summary>Its options.</summary>
    public OrleansMqStreamOptions Options { get; }

    /// <summary>Its topics.</summary>
    public StreamTopics Topics { get; }

    /// <summary>Its explicit subscriptions.</summary>
    public SubscriptionLog Subscriptions => _subscriptions.Value;

    /// <inheritdoc/>
    public IAsyncStream<T> GetStream<T>(StreamId streamId)
    {
        if (streamId.Namespace.IsEmpty)
        {
            throw new ArgumentException($"Stream {streamId} of provider '{Name}' has no namespace, which is its topic: use "
                + "GetStream<T>(\"orders\", key).", nameof(streamId));
        }
        if (streamId.Key.IsEmpty)
            throw new ArgumentException($"Stream {streamId} of provider '{Name}' has no key.", nameof(streamId));
        if (!Topics.IsOwn(TopicOf(streamId)))
        {
            throw new ArgumentException($"Topic '{TopicOf(streamId)}' is none of provider '{Name}', whose topics begin with "
                + $"'{Options.TopicPrefix}': use another provider, or set its {nameof(OrleansMqStreamOptions.TopicPrefix)}.",
                nameof(streamId));
        }
        return new OrleansMqStream<T>(Name, streamId, this);
    }

    /// <summary>Appends events. They are sent in order, each at most once in the log; a failure may leave a part of them.</summary>
    /// <exception cref="ProduceException">An event was not appended.</exception>
    public async Task ProduceAsync<T>(StreamId stream, IEnumerable<T> items)
    {
        var topic = TopicOf(stream);
        var key = stream.Key.ToArray();
        // In the caller's turn: an item may be the grain's own.
        var values = items.Select(item => Options.Format.Serialize(item, _services)).ToList();
        await Retries.RunAsync(() => Topics.EnsureAsync(topic, CancellationToken.None)).ConfigureAwait(false);
        await Topics.RenewingAsync(topic, async () =>
        {
            await Task.WhenAll(values.Select(value => _producer.Value.SendAsync(new ProducerRecord<byte[]?, byte[]?>(topic, key, value))
                .AsTask()).ToList()).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
    }

    /// <summary>Subscribes the grain that calls. A grain whose class subscribes by an attribute gets its observer attached to its own
    /// stream. It subscribes to every other stream as any grain does.</summary>
    public async Task<Guid> SubscribeAsync(StreamId stream, IStreamObserver observer)
    {
        var grain = CallingGrain();
        var topic = TopicOf(stream);
        if (FindImplicit(grain, stream) is { } subscription)
        {
            ConsumerOf(grain).Attach(subscription, observer);
            return subscription;
        }
        var began = TimeProvider.System.GetTimestamp();
        var (queue, partition, end) = await Retries.RunAsync(() => Topics.RenewingAsync(topic, () => BeginAsync(stream, topic)));
        var id = Guid.NewGuid();
        var key = KeyOf(stream, id);
        // Attached first: the first event may come before the write's answer.
        var consumer = ConsumerOf(grain);
        consumer.Attach(id, observer);
        try
        {
            // The caller of the grain gives up at its timeout, and may subscribe again.
            var left = SubscribeTimeout - TimeProvider.System.GetElapsedTime(began);
            await Subscriptions.WriteAsync(key, new SubscriptionValue(grain.GrainId.ToString(), partition, queue, end),
                CancellationToken.None).WaitAsync(left > Least ? left : Least);
        }
        catch (Exception failure) when (failure is OrleansMqException or TimeoutException)
        {
            // The caller has no handle: what was written nevertheless is removed.
            consumer.Remove(id);
            _ = Subscriptions.RemoveEventuallyAsync(key);
            throw;
        }
        return id;
    }

    private async Task<(Guid Queue, int Partition, long End)> BeginAsync(StreamId stream, string topic)
    {
        await Topics.EnsureAsync(topic, CancellationToken.None);
        var queues = await Topics.CreateExplicitQueuesAsync(topic, Subscriptions, CancellationToken.None);
        var partition = Murmur2Partitioner.ForKey(stream.Key.Span, queues.Count);
        return (queues[partition].Id, partition,
            await _client.Admin.FindOffsetAsync(new TopicPartition(topic, partition), ReadFrom.Latest));
    }

    /// <summary>Attaches an observer to a subscription of the grain that calls.</summary>
    public async Task ResumeAsync(StreamId stream, Guid subscription, IStreamObserver observer)
    {
        var grain = CallingGrain();
        var own = FindImplicit(grain, stream);
        if (own != subscription)
        {
            await Retries.RunAsync(() => Subscriptions.CatchUpAsync(CancellationToken.None));
            if (!Subscriptions.Table.Find(stream).Any(other => other.Id == subscription && other.Grain == grain.GrainId))
            {
                throw new InvalidOperationException($"Grain {grain.GrainId} has no subscription {subscription} to stream {stream} of "
                    + $"provider '{Name}': it was removed, or belongs to another grain. Call SubscribeAsync.");
            }
        }
        // The class's own subscription has the events of one that another version of it has written.
        if (own is null || own == subscription)
            ConsumerOf(grain).Attach(subscription, observer);
    }

    /// <summary>Removes a subscription. After it no event is delivered.</summary>
    public async Task UnsubscribeAsync(StreamId stream, Guid subscription)
    {
        var grain = CallingGrain();
        if (FindImplicit(grain, stream) == subscription)
        {
            throw new NotSupportedException($"Grain {grain.GrainId} subscribes to stream {stream} by the attribute of its class, and "
                + "cannot unsubscribe alone: remove the attribute, or ignore the events.");
        }
        await Subscriptions.WriteAsync(KeyOf(stream, subscription), null, CancellationToken.None);
        ConsumerOf(grain).Remove(subscription);
    }

    /// <summary>Returns the subscriptions of the grain that calls.</summary>
    public async Task<IReadOnlyList<Guid>> FindSubscriptionsAsync(StreamId stream)
    {
        var grain = CallingGrain();
        // What it has beside comes from another version of its class, and is not waited for.
        if (FindImplicit(grain, stream) is { } subscription)
            return [subscription, .. FindExplicit()];
        await Retries.RunAsync(() => Subscriptions.CatchUpAsync(CancellationToken.None));
        return [.. FindExplicit()];

        IEnumerable<Guid> FindExplicit() =>
            Subscriptions.Table.Find(stream).Where(other => other.Grain == grain.GrainId).Select(static other => other.Id);
    }

    /// <summary>Returns the topic of a stream.</summary>
    public static string TopicOf(StreamId stream) => stream.GetNamespace()!;

    private static SubscriptionKey KeyOf(StreamId stream, Guid id) => new(TopicOf(stream), stream.Key.ToArray(), id);

    /// <summary>Returns the subscription to a stream that a grain has by its class, as this silo's version says; null if it has none: the
    /// stream belongs to another grain of the class, or to none.</summary>
    public Guid? FindImplicit(IGrainContext grain, StreamId stream) => Topics.IsForImplicit(TopicOf(stream))
        && _services.GetRequiredService<ImplicitSubscriptions>().FindLocal(grain.GrainId.Type, TopicOf(stream)) is { } subscriber
        && subscriber.IsOf(stream, grain.GrainId) ? subscriber.SubscriptionOf(Name, stream) : null;

    /// <summary>Whether a subscription is one that a grain has by its class in any version of the cluster.</summary>
    public bool IsImplicit(IGrainContext grain, StreamId stream, Guid subscription) => Topics.IsForImplicit(TopicOf(stream))
        && _services.GetRequiredService<ImplicitSubscriptions>().All.Any(subscriber => subscriber.GrainType == grain.GrainId.Type
            && subscriber.SubscriptionOf(Name, stream) == subscription && subscriber.Predicate.IsMatch(TopicOf(stream)));

    private IGrainContext CallingGrain() =>
        _services.GetService<IGrainContextAccessor>()?.GrainContext is { GrainInstance: not null } grain
        && _services.GetService<ImplicitSubscriptions>() is not null && !grain.GrainId.IsClient() && !grain.GrainId.IsSystemTarget()
            ? grain
            : throw new NotSupportedException($"Only a grain subscribes to streams of provider '{Name}', in one of its own calls. In a "
                + "client or a service read the topic with a consumer of OrleansMq.Client, or call a grain that subscribes.");

    private static StreamConsumer ConsumerOf(IGrainContext grain) => (StreamConsumer)grain.GetGrainExtension<IStreamConsumer>();
}
