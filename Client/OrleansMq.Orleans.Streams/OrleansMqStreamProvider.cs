using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Streams;
using Orleans.Timers;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Partitioning;

namespace OrleansMq.Streams;

/// <summary>A stream provider over topics: a stream's namespace is its topic, and its key the key of its records.</summary>
internal sealed partial class OrleansMqStreamProvider : IStreamProvider
{
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(1);
    // Between two tries to learn whether a record was written.
    private static readonly TimeSpan WritePause = TimeSpan.FromMilliseconds(100);
    // Above Orleans' time limit for an activation. A call filter may refuse the turn that tells: the calls are then tried without it.
    private static readonly TimeSpan LongestActivation = TimeSpan.FromMinutes(1);
    // Far below the age at which idle activations are collected.
    private static readonly TimeSpan KeepInterval = TimeSpan.FromSeconds(30);

    private readonly OrleansMqClient _client;
    private readonly IServiceProvider _services;
    private readonly ILogger _logger;
    private readonly Lazy<IProducer<byte[]?, byte[]?>> _producer;
    private readonly Lazy<SubscriptionLog> _subscriptions;
    private readonly CancellationTokenSource _stopping = new();
    // Null on a client.
    private readonly ImplicitSubscriptions? _implicit;

    /// <summary>Creates a provider.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="options">Its options.</param>
    /// <param name="services">The services of its silo or client.</param>
    /// <param name="isOfProcess">Whether its subscriptions are in the process: those of an Orleans client, or of services on a silo.
    /// False: grains subscribe.</param>
    public OrleansMqStreamProvider(string name, OrleansMqStreamOptions options, IServiceProvider services, bool isOfProcess = false)
    {
        (Name, Options, _services) = (name, options, services);
        _client = services.GetRequiredService<OrleansMqClient>();
        _logger = services.GetRequiredService<ILogger<OrleansMqStreamProvider>>();
        // With acks=all and idempotence, whatever the client's own options are.
        _producer = new(() => services.GetRequiredService<ProducersAtStop>().Add(
            _client.CreateProducer<byte[]?, byte[]?>(new ProducerOptions())));
        _subscriptions = new(() => new SubscriptionLog(_client, _producer.Value, name, _logger));
        _implicit = services.GetService<ImplicitSubscriptions>();
        Topics = new StreamTopics(_client, name, options);
        Replays = new SemaphoreSlim(options.MaxReplays);
        Process = isOfProcess ? new ProcessSubscriptions(this, _client, services, _logger) : null;
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public bool IsRewindable => true;

    /// <summary>Its options.</summary>
    public OrleansMqStreamOptions Options { get; }

    /// <summary>Its topics.</summary>
    public StreamTopics Topics { get; }

    /// <summary>What has failed in replays of activations.</summary>
    public ReplayFailures ReplayFailures { get; } = new();

    /// <summary>The readings of replays of activations.</summary>
    public ReplayReadings ReplayReadings { get; } = new();

    /// <summary>The activations that may be replayed at once. It needs no disposal: nothing takes its wait handle.</summary>
    public SemaphoreSlim Replays { get; }

    /// <summary>The subscriptions in the process; null: grains subscribe.</summary>
    public ProcessSubscriptions? Process { get; }

    /// <summary>Its explicit subscriptions.</summary>
    public SubscriptionLog Subscriptions => _subscriptions.Value;

    /// <summary>How long a grain that subscribes or resumes waits for its record: below the timeout of a grain's call, which is 30 seconds
    /// by default.</summary>
    internal TimeSpan SubscribeTimeout { get; set; } = TimeSpan.FromSeconds(25);

    /// <summary>How long a look may take how far a replay is. One that takes longer counts as failed.</summary>
    internal TimeSpan LongestLook { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long an event waits, in its grain's turn, for the look which replay is in force, or whether its subscription is
    /// removed. It comes again where that takes longer.</summary>
    internal TimeSpan LongestAsk { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Between two sweeps of what replays have left: longer than a subscription takes to be written.</summary>
    internal TimeSpan SweepInterval { get; set; } = TimeSpan.FromMinutes(5);

    /// <inheritdoc/>
    public IAsyncStream<T> GetStream<T>(StreamId streamId)
    {
        RequireStream(streamId);
        return new OrleansMqStream<T>(Name, streamId, this);
    }

    private void RequireStream(StreamId streamId)
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

    /// <summary>Subscribes the grain or the process that calls. A grain whose class subscribes by an attribute gets its observer attached
    /// to its own stream. It subscribes to every other stream as any grain does.</summary>
    public async Task<Guid> SubscribeAsync(StreamId stream, IStreamObserver observer, StreamSequenceToken? token)
    {
        if (Process is { } process)
        {
            var (of, begin) = await FindAsync(stream, token).ConfigureAwait(false);
            return process.Subscribe(stream, of, begin, observer);
        }
        var grain = CallingGrain();
        if (FindImplicit(grain, stream) is { } subscription)
        {
            await AttachAsync(grain, stream, subscription, observer, token);
            return subscription;
        }
        RequireEveryActivation(grain, stream, token);
        var id = Guid.NewGuid();
        // Attached first: the first event may come before the write's answer.
        var consumer = ConsumerOf(grain);
        var written = await WriteAsync(stream, id, grain.GrainId, token, replay => consumer.Attach(id, observer, replay), (key, write) =>
        {
            // The caller has no handle: what was written nevertheless is removed, unless an activation finds and resumes it. A call of this
            // one that interleaves may have.
            var abandoning = Subscriptions.AbandonEventuallyAsync(key, write);
            if (!consumer.Knows(id))
                consumer.Remove(id, PlaceOf(stream, id, abandoning: abandoning));
        });
        consumer.Know(id, PlaceOf(stream, id, () => Subscriptions.Position > written));
        return id;
    }

    /// <summary>Attaches an observer to a subscription of the grain or the process that calls. With a token the subscription is replayed
    /// from there on.</summary>
    public async Task ResumeAsync(StreamId stream, Guid subscription, IStreamObserver observer, StreamSequenceToken? token)
    {
        if (Process is { } process)
        {
            process.Require(stream, subscription);
            process.Resume(stream, subscription, observer,
                token is null ? null : (await FindAsync(stream, token).ConfigureAwait(false)).Begin);
            return;
        }
        var grain = CallingGrain();
        var own = FindImplicit(grain, stream);
        if (own == subscription)
        {
            await AttachAsync(grain, stream, subscription, observer, token);
            return;
        }
        if (own is not null && token is not null)
        {
            throw new NotSupportedException($"Subscription {subscription} to stream {stream} of provider '{Name}' is one that another "
                + $"version of the class of grain {grain.GrainId} has left, and is not replayed: give the token to SubscribeAsync.");
        }
        RequireEveryActivation(grain, stream, token);
        var consumer = ConsumerOf(grain);
        if (token is null)
        {
            var current = await FindForResumeAsync(grain, stream, subscription);
            // The class's own subscription has the events of one that another version of it has written.
            if (own is null)
            {
                consumer.Attach(subscription, observer, current.Replay);
                consumer.Know(subscription, PlaceOf(stream, subscription));
            }
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
                {
                    consumer.Know(subscription, PlaceOf(stream, subscription));
                    return;
                }
            }
            catch
            {
                // Where the record is written nevertheless, the first delivery of its replay says so.
                giveUp();
                throw;
            }
        }
        consumer.Remove(subscription, PlaceOf(stream, subscription));
        throw new InvalidOperationException($"Subscription {subscription} to stream {stream} of provider '{Name}' was removed while it was "
            + "resumed. Call SubscribeAsync.");
    }

    private async Task<ExplicitSubscription> FindForResumeAsync(IGrainContext grain, StreamId stream, Guid subscription)
    {
        await Retries.RunAsync(() => Subscriptions.CatchUpAsync(CancellationToken.None));
        var consumer = ConsumerOf(grain);
        consumer.Trim();
        // An activation that has resumed or made it knows that it stays. Another one may have found what a call that has failed left.
        if (FindOwn(grain, stream, subscription) is not null && !consumer.Knows(subscription)
            && !Subscriptions.Table.IsResumed(subscription))
            await ClaimAsync(stream, subscription);
        return FindOwn(grain, stream, subscription) ?? throw new InvalidOperationException($"Grain {grain.GrainId} has no subscription "
            + $"{subscription} to stream {stream} of provider '{Name}': it was removed, or belongs to another grain. Call SubscribeAsync.");
    }

    private async Task ClaimAsync(StreamId stream, Guid subscription)
    {
        try
        {
            await Retries.RunAsync(() => Subscriptions.ClaimAsync(KeyOf(stream, subscription), CancellationToken.None))
                .WaitAsync(SubscribeTimeout);
        }
        catch (TimeoutException unclear)
        {
            throw new BrokerException(ErrorCode.RequestTimedOut, $"Subscription {subscription} to stream {stream} of provider '{Name}' was "
                + $"not resumed: that it stays was not written within {SubscribeTimeout}. Call again.", unclear);
        }
    }

    private SubscriptionPlace PlaceOf(StreamId stream, Guid subscription, Func<bool>? isRead = null, Task? abandoning = null) =>
        new(Subscriptions.Table, stream, subscription, isRead, abandoning, LookAsync);

    private Task LookAsync() => Subscriptions.CatchUpAsync(CancellationToken.None).WaitAsync(LongestAsk);

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

    private async Task<long> WriteAsync(StreamId stream, Guid id, GrainId grain, StreamSequenceToken? token, Action<Replay?> attach,
        Action<SubscriptionKey, Task> giveUp)
    {
        var began = TimeProvider.System.GetTimestamp();
        var (queue, partition, end, replay) = await BeginAsync(stream, token,
            static (topicId, from) => new Replay(Guid.NewGuid(), 1, topicId, from));
        var key = KeyOf(stream, id);
        attach(replay);
        var write = Subscriptions.WriteAsync(key, new SubscriptionValue(GrainText.Of(grain), partition, queue, end, replay),
            CancellationToken.None);
        try
        {
            // The caller of the grain gives up at its timeout, and may subscribe again.
            var left = SubscribeTimeout - TimeProvider.System.GetElapsedTime(began);
            return await write.WaitAsync(left > Least ? left : Least);
        }
        catch (Exception failure) when (failure is OrleansMqException or TimeoutException)
        {
            giveUp(key, write);
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

    // Where a process reads the stream. What is sent after that comes at this end or above it.
    private async Task<(TopicPartition Partition, StreamBegin Begin)> FindAsync(StreamId stream, StreamSequenceToken? token)
    {
        var topic = TopicOf(stream);
        return await Retries.RunAsync(() => Topics.RenewingAsync(topic, async () =>
        {
            await Topics.EnsureAsync(topic, CancellationToken.None).ConfigureAwait(false);
            // A lookup may answer from memory; a description does not.
            var described = await _client.Broker.DescribeTopicAsync(topic).ConfigureAwait(false);
            var partition = new TopicPartition(topic, Murmur2Partitioner.ForKey(stream.Key.Span, described.Partitions.Count));
            var end = await _client.Admin.FindOffsetAsync(partition, ReadFrom.Latest).ConfigureAwait(false);
            var from = token is null ? end
                : Equals(token, StreamOffset.Earliest)
                    ? await _client.Admin.FindOffsetAsync(partition, ReadFrom.Earliest).ConfigureAwait(false)
                : OffsetOf(stream, partition, end, token);
            return (partition, new StreamBegin(described.TopicId, from));
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

    // To a subscription that a grain has by its class. Of calls that interleave the later one counts.
    private async Task AttachAsync(IGrainContext grain, StreamId stream, Guid subscription, IStreamObserver observer,
        StreamSequenceToken? token)
    {
        var consumer = ConsumerOf(grain);
        if (token is null)
        {
            consumer.Attach(subscription, observer);
            return;
        }
        RequireEveryActivation(grain, stream, token);
        using var turn = await consumer.TryResumeAsync(subscription, SubscribeTimeout) ?? throw new BrokerException(
            ErrorCode.RequestTimedOut, $"The subscription to stream {stream} of provider '{Name}' was not replayed from token {token}: an "
            + "earlier call of the same grain with a token has not ended. Call again.");
        var (place, from) = await FindPlaceAsync(grain.GrainId.Type, stream, token);
        // It would end the replay of the next one.
        if (grain.Deactivated.IsCompleted)
            throw new InvalidOperationException($"The activation of {grain.GrainId} has ended.");
        var replay = new ActivationReplay(subscription, place, from, consumer, _client);
        var active = KeepActiveAsync(grain, replay);
        consumer.Replay(observer, replay);
        var activation = ExtensionReferences<IStreamConsumer>.Of(_services.GetRequiredService<IGrainFactory>(), grain.GrainId);
        var reading = new StreamReading(this, _client, _services, stream, place.Partition, _logger, replay);
        replay.Begin(reading, ReplayReadings, async id =>
        {
            await active.WaitAsync(LongestActivation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return await activation.ReplayAsync(subscription, id).ConfigureAwait(false);
        }, grain.Deactivated, _stopping.Token);
    }

    // Completes with the first turn of an activation: never for one that fails. Orleans passes a call that waits for it to another one,
    // which it makes for that. Keeps the activation while the replay has calls to make, however long the stream is silent.
    private static Task KeepActiveAsync(IGrainContext grain, ActivationReplay replay)
    {
        var active = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        IGrainTimer? timer = null;
        timer = grain.ActivationServices.GetRequiredService<ITimerRegistry>().RegisterGrainTimer(grain, (turn, _) =>
        {
            turn.TrySetResult();
            if (replay.HasLeft)
                timer?.Dispose();
            return Task.CompletedTask;
        }, active, new GrainTimerCreationOptions(TimeSpan.Zero, KeepInterval) { Interleave = true, KeepAlive = true });
        return active.Task;
    }

    private Task<(ClassPlace Place, long From)> FindPlaceAsync(GrainType grainType, StreamId stream, StreamSequenceToken token)
    {
        var (topic, name) = (TopicOf(stream), Topics.QueueOf(grainType));
        return Retries.RunAsync(() => Topics.RenewingAsync(topic, async () =>
        {
            await Topics.EnsureAsync(topic, CancellationToken.None);
            // A lookup may answer from memory; a description does not.
            var described = await _client.Broker.DescribeTopicAsync(topic);
            var partition = new TopicPartition(topic, Murmur2Partitioner.ForKey(stream.Key.Span, described.Partitions.Count));
            // As the dispatchers of the class create it.
            var queue = await _client.Broker.Queues.CreateAsync(partition,
                new NewQueue(name) { Options = await Topics.QueueOptionsAsync(topic, CancellationToken.None) });
            var end = await _client.Admin.FindOffsetAsync(partition, ReadFrom.Latest);
            var from = Equals(token, StreamOffset.Earliest) ? await _client.Admin.FindOffsetAsync(partition, ReadFrom.Earliest)
                : OffsetOf(stream, partition, end, token);
            if ((await _client.Broker.DescribeTopicAsync(topic)).TopicId != described.TopicId)
                throw new BrokerException(ErrorCode.LeaderNotAvailable, $"Topic '{topic}' is deleted and created again now.");
            return (new ClassPlace(described.TopicId, partition, name, queue.Id), from);
        }));
    }

    /// <summary>Ends the readings of replays: the silo stops.</summary>
    public Task StopReplaysAsync() => _stopping.CancelAsync();

    /// <summary>Removes a subscription. After it no event is delivered.</summary>
    public async Task UnsubscribeAsync(StreamId stream, Guid subscription)
    {
        if (Process is { } process)
        {
            process.Unsubscribe(stream, subscription);
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
        var consumer = ConsumerOf(grain);
        consumer.Remove(subscription, PlaceOf(stream, subscription));
        consumer.Trim();
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

    /// <summary>Returns the subscriptions of the grain or the process that calls.</summary>
    public async Task<IReadOnlyList<Guid>> FindSubscriptionsAsync(StreamId stream)
    {
        if (Process is { } process)
            return process.Find(stream);
        var grain = CallingGrain();
        // What it has beside comes from another version of its class, and is not waited for.
        if (FindImplicit(grain, stream) is { } subscription)
            return [subscription, .. FindExplicit()];
        await Retries.RunAsync(() => Subscriptions.CatchUpAsync(CancellationToken.None));
        ConsumerOf(grain).Trim();
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
        && _implicit!.FindLocal(grain.GrainId.Type, TopicOf(stream)) is { } subscriber
        && subscriber.IsOf(stream, grain.GrainId) ? subscriber.SubscriptionOf(Name, stream) : null;

    /// <summary>Whether a subscription is one that a grain has by its class in any version of the cluster.</summary>
    public bool IsImplicit(IGrainContext grain, StreamId stream, Guid subscription) => Topics.IsForImplicit(TopicOf(stream))
        && _implicit!.All.Any(subscriber => subscriber.GrainType == grain.GrainId.Type
            && subscriber.SubscriptionOf(Name, stream) == subscription && _implicit.Covers(subscriber, TopicOf(stream)));

    /// <summary>Whether a subscription of which a delivery came is an explicit one that is removed.</summary>
    /// <exception cref="BrokerException">That is not known now.</exception>
    /// <exception cref="TimeoutException">That is not known within <see cref="LongestAsk"/>.</exception>
    public async Task<bool> IsRemovedAsync(IGrainContext grain, StreamId stream, Guid subscription)
    {
        if (FindImplicit(grain, stream) is not null || IsImplicit(grain, stream, subscription)
            || Subscriptions.Table.Find(stream, subscription) is not null)
            return false;
        await LookAsync();
        return Subscriptions.Table.Find(stream, subscription) is null;
    }

    private IGrainContext CallingGrain() =>
        _services.GetService<IGrainContextAccessor>()?.GrainContext is { GrainInstance: not null } grain
        && _implicit is not null && !grain.GrainId.IsClient() && !grain.GrainId.IsSystemTarget()
            ? grain
            : throw new NotSupportedException($"On a silo a grain subscribes to streams of provider '{Name}' by it, in one of its own "
                + "turns: the code of a grain has none in Task.Run, or after ConfigureAwait(false). A service subscribes in its process, "
                + $"by services.{nameof(OrleansMqStreamsServices.GetProcessStreamProvider)}(\"{Name}\"), until the silo stops.");

    private static StreamConsumer ConsumerOf(IGrainContext grain) => (StreamConsumer)grain.GetGrainExtension<IStreamConsumer>();

    /// <summary>The log has that an observer failed when it was told.</summary>
    public void LogNotTold(StreamId stream, Exception reason) => LogNotTold(_logger, stream, Name, reason);

    [LoggerMessage(3, LogLevel.Error, "The observer of stream {Stream} of provider {Name} failed when it was told of an event that is "
        + "given up.")]
    private static partial void LogNotTold(ILogger logger, StreamId stream, string name, Exception reason);

    [LoggerMessage(2, LogLevel.Information, "Whether replay {Replay} of a subscription of provider {Name} is written is not known now; "
        + "retrying.")]
    private static partial void LogUnclear(ILogger logger, Guid replay, string name, Exception reason);

    [LoggerMessage(1, LogLevel.Warning, "Stream {Stream} of provider {Name} is replayed from offset {From}, which {Partition} does not "
        + "keep any more: the replay begins with the earliest one, {Earliest}.")]
    private static partial void LogEarliest(ILogger logger, StreamId stream, string name, long from, TopicPartition partition,
        long earliest);
}
