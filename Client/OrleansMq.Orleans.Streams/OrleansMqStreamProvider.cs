using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Partitioning;

namespace OrleansMq.Streams;

/// <summary>A stream provider over topics: a stream's namespace is its topic, and its key the key of its records.</summary>
internal sealed partial class OrleansMqStreamProvider : IStreamProvider
{
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(1);
    // Between two tries to learn whether a record was written.
    private static readonly TimeSpan WritePause = TimeSpan.FromMilliseconds(100);

    private readonly OrleansMqClient _client;
    private readonly IServiceProvider _services;
    private readonly ILogger _logger;
    private readonly Lazy<IProducer<byte[]?, byte[]?>> _producer;
    private readonly Lazy<SubscriptionLog> _subscriptions;

    /// <summary>Creates a provider.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="options">Its options.</param>
    /// <param name="services">The services of its silo or client.</param>
    /// <param name="isOfClient">Whether it is that of an Orleans client.</param>
    public OrleansMqStreamProvider(string name, OrleansMqStreamOptions options, IServiceProvider services, bool isOfClient = false)
    {
        (Name, Options, _services) = (name, options, services);
        _client = services.GetRequiredService<OrleansMqClient>();
        _logger = services.GetRequiredService<ILogger<OrleansMqStreamProvider>>();
        // With acks=all and idempotence, whatever the client's own options are.
        _producer = new(() => services.GetRequiredService<ProducersAtStop>().Add(
            _client.CreateProducer<byte[]?, byte[]?>(new ProducerOptions())));
        _subscriptions = new(() => new SubscriptionLog(_client, _producer.Value, name, _logger));
        Topics = new StreamTopics(_client, name, options);
        Clients = isOfClient ? new ClientSubscriptions(this, _client, services, _logger) : null;
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public bool IsRewindable => true;

    /// <summary>Its options.</summary>
    public OrleansMqStreamOptions Options { get; }

    /// <summary>Its topics.</summary>
    public StreamTopics Topics { get; }

    /// <summary>The subscriptions of an Orleans client; null: it is the provider of a silo, whose grains subscribe.</summary>
    public ClientSubscriptions? Clients { get; }

    /// <summary>Its explicit subscriptions.</summary>
    public SubscriptionLog Subscriptions => _subscriptions.Value;

    /// <summary>How long a grain that subscribes or resumes waits for its record: below the timeout of a grain's call, which is 30 seconds
    /// by default.</summary>
    internal TimeSpan SubscribeTimeout { get; set; } = TimeSpan.FromSeconds(25);

    /// <summary>How long a look may take how far a replay is. One that takes longer counts as failed.</summary>
    internal TimeSpan LongestLook { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Between two sweeps of what replays have left: longer than a subscription takes to be written.</summary>
    internal TimeSpan SweepInterval { get; set; } = TimeSpan.FromMinutes(5);

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

    /// <summary>Subscribes the grain or the client that calls. A grain whose class subscribes by an attribute gets its observer attached to
    /// its own stream. It subscribes to every other stream as any grain does.</summary>
    public async Task<Guid> SubscribeAsync(StreamId stream, IStreamObserver observer, StreamSequenceToken? token)
    {
        if (Clients is { } clients)
        {
            var (of, from) = await FindAsync(stream, token).ConfigureAwait(false);
            return clients.Subscribe(stream, of, from, observer);
        }
        var grain = CallingGrain();
        if (FindImplicit(grain, stream) is { } subscription)
        {
            RequireNoToken(grain, stream, token);
            ConsumerOf(grain).Attach(subscription, observer);
            return subscription;
        }
        var id = Guid.NewGuid();
        // Attached first: the first event may come before the write's answer.
        var consumer = ConsumerOf(grain);
        await WriteAsync(stream, id, grain, token, replay => consumer.Attach(id, observer, replay), key =>
        {
            // The caller has no handle: what was written nevertheless is removed.
            consumer.Remove(id);
            _ = Subscriptions.RemoveEventuallyAsync(key);
        });
        return id;
    }

    /// <summary>Attaches an observer to a subscription of the grain or the client that calls. With a token the subscription is replayed
    /// from there on.</summary>
    public async Task ResumeAsync(StreamId stream, Guid subscription, IStreamObserver observer, StreamSequenceToken? token)
    {
        if (Clients is { } clients)
        {
            clients.Require(stream, subscription);
            clients.Resume(stream, subscription, observer,
                token is null ? null : (await FindAsync(stream, token).ConfigureAwait(false)).From);
            return;
        }
        var grain = CallingGrain();
        var own = FindImplicit(grain, stream);
        if (own is not null)
            RequireNoToken(grain, stream, token);
        if (own == subscription)
        {
            ConsumerOf(grain).Attach(subscription, observer);
            return;
        }
        var consumer = ConsumerOf(grain);
        if (token is null)
        {
            var current = await FindForResumeAsync(grain, stream, subscription);
            // The class's own subscription has the events of one that another version of it has written.
            if (own is null)
                consumer.Attach(subscription, observer, current.Replay);
            return;
        }
        // Where the grain's calls interleave: the later one begins when the earlier one is decided or given up, and so is in force.
        var began = TimeProvider.System.GetTimestamp();
        if (await consumer.TryResumeAsync(subscription, SubscribeTimeout) is not { } resuming)
        {
            throw new BrokerException(ErrorCode.RequestTimedOut, $"Subscription {subscription} to stream {stream} of provider '{Name}' was "
                + $"not resumed from token {token}: an earlier call of ResumeAsync of the same grain is not decided. Call again.");
        }
        using (resuming)
        {
            var found = await FindForResumeAsync(grain, stream, subscription);
            var giveUp = consumer.Keep(subscription, observer);
            try
            {
                if (await RewindAsync(stream, found, token, began, replay => consumer.Attach(subscription, observer, replay)))
                    return;
            }
            catch
            {
                // Where the record is written nevertheless, the first delivery of its replay says so.
                giveUp();
                throw;
            }
        }
        consumer.Remove(subscription);
        throw new InvalidOperationException($"Subscription {subscription} to stream {stream} of provider '{Name}' was removed while it was "
            + "resumed. Call SubscribeAsync.");
    }

    private async Task<ExplicitSubscription> FindForResumeAsync(IGrainContext grain, StreamId stream, Guid subscription)
    {
        await Retries.RunAsync(() => Subscriptions.CatchUpAsync(CancellationToken.None));
        return FindOwn(grain, stream, subscription) ?? throw new InvalidOperationException($"Grain {grain.GrainId} has no subscription "
            + $"{subscription} to stream {stream} of provider '{Name}': it was removed, or belongs to another grain. Call SubscribeAsync.");
    }

    // The first replay of a generation in the topic's order is in force. One that comes later begins the next generation: of two calls at
    // once the last one counts. A record that a call has given up cannot come into force after a later call has returned. False: the
    // subscription is removed.
    private async Task<bool> RewindAsync(StreamId stream, ExplicitSubscription found, StreamSequenceToken token, long began,
        Action<Replay> attach)
    {
        var key = KeyOf(stream, found.Id);
        while (true)
        {
            var (queue, partition, _, replay) = await BeginAsync(stream, token, found.Rewind);
            // Attached first: from now on the activation refuses what comes from before the replay.
            attach(replay!);
            await DecideAsync(new ReplayWrite(Subscriptions, key, queue, replay!, partition), stream, token, began);
            var current = Subscriptions.Table.Find(stream, found.Id);
            var isInForce = current?.Replay?.Origin == replay!.Id;
            if (!isInForce)
                Leave(stream, found with { Partition = partition, Replay = replay });
            if (current is null)
                return false;
            if (isInForce || current.Replay?.Generation > replay.Generation)
            {
                Leave(stream, found);
                return true;
            }
            found = current;
            if (TimeProvider.System.GetElapsedTime(began) >= SubscribeTimeout)
            {
                throw new BrokerException(ErrorCode.RequestTimedOut, $"Subscription {found.Id} to stream {stream} of provider '{Name}' was "
                    + "resumed from other tokens at the same time, which count: resume it by one call at a time.");
            }
        }
    }

    // Tries until it is known whether the record is in the topic. The caller of the grain gives up at its timeout, and may call again.
    private async Task DecideAsync(ReplayWrite write, StreamId stream, StreamSequenceToken token, long began)
    {
        while (true)
        {
            var left = SubscribeTimeout - TimeProvider.System.GetElapsedTime(began);
            try
            {
                await write.TryAsync(CancellationToken.None).WaitAsync(left > Least ? left : Least);
                return;
            }
            catch (Exception unclear) when (unclear is TimeoutException or OrleansMqException { Action: ErrorAction.Retry }
                or ProduceException { MayBeWritten: true })
            {
                if (unclear is TimeoutException || left <= Least)
                {
                    throw new BrokerException(ErrorCode.RequestTimedOut, $"Whether the subscription to stream {stream} of provider "
                        + $"'{Name}' is resumed from token {token} is not known. It may be, now or soon, until a later call of ResumeAsync "
                        + "with a token or of UnsubscribeAsync has returned: call again.", unclear);
                }
                LogUnclear(_logger, write.Replay.Id, Name, unclear);
            }
            await Task.Delay(WritePause);
        }
    }

    private async Task WriteAsync(StreamId stream, Guid id, IGrainContext grain, StreamSequenceToken? token, Action<Replay?> attach,
        Action<SubscriptionKey> giveUp)
    {
        var began = TimeProvider.System.GetTimestamp();
        var (queue, partition, end, replay) = await BeginAsync(stream, token,
            static (topicId, from) => new Replay(Guid.NewGuid(), 1, topicId, from));
        var key = KeyOf(stream, id);
        attach(replay);
        try
        {
            // The caller of the grain gives up at its timeout, and may subscribe again.
            var left = SubscribeTimeout - TimeProvider.System.GetElapsedTime(began);
            await Subscriptions.WriteAsync(key, new SubscriptionValue(grain.GrainId.ToString(), partition, queue, end, replay),
                CancellationToken.None).WaitAsync(left > Least ? left : Least);
        }
        catch (Exception failure) when (failure is OrleansMqException or TimeoutException)
        {
            giveUp(key);
            throw;
        }
    }

    private Task<(Guid Queue, int Partition, long End, Replay? Replay)> BeginAsync(StreamId stream, StreamSequenceToken? token,
        Func<Guid, long, Replay> rewind) => Retries.RunAsync(() => Topics.RenewingAsync(TopicOf(stream), () =>
            BeginOnceAsync(stream, TopicOf(stream), token, rewind)));

    private async Task<(Guid Queue, int Partition, long End, Replay? Replay)> BeginOnceAsync(StreamId stream, string topic,
        StreamSequenceToken? token, Func<Guid, long, Replay> rewind)
    {
        await Topics.EnsureAsync(topic, CancellationToken.None);
        // A lookup may answer from memory; a description does not. A replay of an earlier topic of that name would be over at once.
        var topicId = (await _client.Broker.DescribeTopicAsync(topic)).TopicId;
        var queues = await Topics.CreateExplicitQueuesAsync(topic, Subscriptions, CancellationToken.None);
        var partition = new TopicPartition(topic, Murmur2Partitioner.ForKey(stream.Key.Span, queues.Count));
        var end = await _client.Admin.FindOffsetAsync(partition, ReadFrom.Latest);
        if (token is null)
            return (queues[partition.Partition].Id, partition.Partition, end, null);
        var from = Equals(token, StreamOffset.Earliest) ? await _client.Admin.FindOffsetAsync(partition, ReadFrom.Earliest)
            : OffsetOf(stream, partition, end, token);
        var replay = rewind(topicId, from);
        if (await Topics.CreateReplayQueueAsync(partition, stream.Key, replay, CancellationToken.None) is { } earliest)
            LogEarliest(_logger, stream, Name, replay.From, partition, earliest);
        if ((await _client.Broker.DescribeTopicAsync(topic)).TopicId != topicId)
            throw new BrokerException(ErrorCode.LeaderNotAvailable, $"Topic '{topic}' is deleted and created again now.");
        return (queues[partition.Partition].Id, partition.Partition, end, replay);
    }

    // Where a client reads the stream. What is sent after that comes at this end or above it.
    private async Task<(TopicPartition Partition, long From)> FindAsync(StreamId stream, StreamSequenceToken? token)
    {
        var topic = TopicOf(stream);
        return await Retries.RunAsync(() => Topics.RenewingAsync(topic, async () =>
        {
            await Topics.EnsureAsync(topic, CancellationToken.None).ConfigureAwait(false);
            var partitions = (await _client.Broker.GetTopicAsync(topic).ConfigureAwait(false)).Partitions;
            var partition = new TopicPartition(topic, Murmur2Partitioner.ForKey(stream.Key.Span, partitions));
            var end = await _client.Admin.FindOffsetAsync(partition, ReadFrom.Latest).ConfigureAwait(false);
            return (partition, token is null ? end
                : Equals(token, StreamOffset.Earliest)
                    ? await _client.Admin.FindOffsetAsync(partition, ReadFrom.Earliest).ConfigureAwait(false)
                : OffsetOf(stream, partition, end, token));
        })).ConfigureAwait(false);
    }

    private static long OffsetOf(StreamId stream, TopicPartition partition, long end, StreamSequenceToken token)
    {
        if (token is not StreamOffset position)
        {
            throw new ArgumentException($"A {token.GetType().Name} is no position in a stream of OrleansMq: use the token that came with "
                + $"an event, or a {nameof(StreamOffset)}.", nameof(token));
        }
        if (position.Partition != partition.Partition)
        {
            throw new ArgumentException($"Token {position} is in partition {position.Partition}, and stream {stream} is in {partition}: "
                + "use the token of an event of the same stream.", nameof(token));
        }
        return position.Offset <= end ? position.Offset : throw new ArgumentException($"Token {position} is behind the end of {partition}, "
            + $"which is {end}: the topic was deleted and created again, or the token is of another one.", nameof(token));
    }

    private void RequireNoToken(IGrainContext grain, StreamId stream, StreamSequenceToken? token)
    {
        if (token is not null)
        {
            throw new NotSupportedException($"Grain {grain.GrainId} subscribes to stream {stream} of provider '{Name}' by the attribute of "
                + "its class. Such a subscription continues where it was, whatever happened to its grain, and is not replayed from a "
                + "token: call without one. To replay, use a class without the attribute, whose grains subscribe with a token.");
        }
    }

    /// <summary>Removes a subscription. After it no event is delivered.</summary>
    public async Task UnsubscribeAsync(StreamId stream, Guid subscription)
    {
        if (Clients is { } clients)
        {
            clients.Unsubscribe(stream, subscription);
            return;
        }
        var grain = CallingGrain();
        if (FindImplicit(grain, stream) == subscription)
        {
            throw new NotSupportedException($"Grain {grain.GrainId} subscribes to stream {stream} by the attribute of its class, and "
                + "cannot unsubscribe alone: remove the attribute, or ignore the events.");
        }
        var left = FindOwn(grain, stream, subscription);
        await Subscriptions.WriteAsync(KeyOf(stream, subscription), null, CancellationToken.None);
        ConsumerOf(grain).Remove(subscription);
        Leave(stream, left);
    }

    // A silo that carries the replay out does so, too. None may have begun it.
    private void Leave(StreamId stream, ExplicitSubscription? left)
    {
        if (left?.Replay is not { } replay)
            return;
        Subscriptions.RemoveProgress(KeyOf(stream, left.Id), replay, withOrigin: true);
        _ = StreamReplays.DeleteLaterAsync(_client, new TopicPartition(TopicOf(stream), left.Partition), Topics.QueueOf(replay), _logger);
    }

    /// <summary>Returns the subscriptions of the grain or the client that calls.</summary>
    public async Task<IReadOnlyList<Guid>> FindSubscriptionsAsync(StreamId stream)
    {
        if (Clients is { } clients)
            return clients.Find(stream);
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

    private ExplicitSubscription? FindOwn(IGrainContext grain, StreamId stream, Guid subscription) =>
        Subscriptions.Table.Find(stream, subscription) is { } found && found.Grain == grain.GrainId ? found : null;

    /// <summary>Returns the key of a subscription's record.</summary>
    public static SubscriptionKey KeyOf(StreamId stream, Guid id) => new(TopicOf(stream), stream.Key.ToArray(), id);

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
            : throw new NotSupportedException($"On a silo only a grain subscribes to streams of provider '{Name}', in one of its own "
                + "calls. In a service read the topic with a consumer of OrleansMq.Client, or call a grain that subscribes.");

    private static StreamConsumer ConsumerOf(IGrainContext grain) => (StreamConsumer)grain.GetGrainExtension<IStreamConsumer>();

    [LoggerMessage(2, LogLevel.Information, "Whether replay {Replay} of a subscription of provider {Name} is written is not known now; "
        + "retrying.")]
    private static partial void LogUnclear(ILogger logger, Guid replay, string name, Exception reason);

    [LoggerMessage(1, LogLevel.Warning, "Stream {Stream} of provider {Name} is replayed from offset {From}, which {Partition} does not "
        + "keep any more: the replay begins with the earliest one, {Earliest}.")]
    private static partial void LogEarliest(ILogger logger, StreamId stream, string name, long from, TopicPartition partition,
        long earliest);
}
