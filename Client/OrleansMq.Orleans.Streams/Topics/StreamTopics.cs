using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Streams;

/// <summary>The topics of a provider, and their cursors. Thread-safe.</summary>
internal sealed class StreamTopics(OrleansMqClient client, string provider, OrleansMqStreamOptions options)
{
    private const int LongestQueueName = 249;

    // The same in every version and provider: a dead-letter topic of one must not be an ordinary topic of another.
    private const string DeadLetterSuffix = ".dead-letter";

    // A record that ends the silo that delivers it goes to the dead-letter topic at last. No observer has named a cause by then.
    private const int DeathsPerAttempt = 10;

    // Room for a dead letter's headers.
    private const int HeaderRoom = 64 << 10;

    // What no subscriber has had is kept, however long that takes.
    private static readonly Dictionary<string, string> UntilSettled = new() { ["retention.until.settled"] = "true" };

    private readonly ConcurrentDictionary<string, Once> _known = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Once> _deadLetters = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(string Topic, string Queue), Guid> _applied = new();

    /// <summary>The name of the cursor of explicit subscriptions.</summary>
    /// <remarks>The name of a provider has no colon, so that no other provider has a cursor of this name.</remarks>
    public string ExplicitQueue => $"streams:{provider}";

    /// <summary>Returns the name of a grain class's cursor.</summary>
    public string QueueOf(GrainType grainType)
    {
        var name = $"streams:{provider}:{grainType}";
        // The grain type of a generic class may be longer.
        return name.Length <= LongestQueueName ? name : $"streams:{provider}:{Hashes.Of(name):N}";
    }

    /// <summary>Whether a topic is one of the provider.</summary>
    public bool IsOwn(string topic) => topic.StartsWith(options.TopicPrefix, StringComparison.Ordinal);

    /// <summary>Whether events of a topic are for implicit subscriptions: neither internal topics nor dead letters are.</summary>
    public bool IsForImplicit(string topic) => IsOwn(topic) && !topic.StartsWith("__", StringComparison.Ordinal)
        && !topic.EndsWith(DeadLetterSuffix, StringComparison.Ordinal);

    /// <summary>Completes when the topic exists.</summary>
    /// <exception cref="BrokerException">It does not exist, or cannot be created.</exception>
    public Task EnsureAsync(string topic, CancellationToken cancellationToken) => _known.GetOrAdd(topic, name => new Once(async () =>
    {
        if (options.CreateTopics)
            await EnsureTopicAsync(client, name, configs: UntilSettled).ConfigureAwait(false);
        else
            await client.Broker.GetTopicAsync(name).ConfigureAwait(false);
    })).EnsureAsync().WaitAsync(cancellationToken);

    /// <summary>Returns the options with which the cursors of a topic are created. Its dead-letter topic then exists.</summary>
    /// <exception cref="BrokerException">The dead-letter topic cannot be created.</exception>
    public async Task<QueueOptions> QueueOptionsAsync(string topic, CancellationToken cancellationToken)
    {
        var letters = topic + DeadLetterSuffix;
        await _deadLetters.GetOrAdd(topic, name => new Once(() => CreateDeadLettersAsync(name, letters))).EnsureAsync()
            .WaitAsync(cancellationToken).ConfigureAwait(false);
        return new QueueOptions
        {
            IsOrderedByKey = true,
            DeadLetterTopic = letters,
            MaxFailures = options.MaxAttempts * DeathsPerAttempt,
            RetryDelay = options.RetryDelay,
            MaxRetryDelay = options.MaxRetryDelay,
        };
    }

    /// <summary>Calls. After a failure that says so, the topic and its dead-letter topic are not taken for existing any more.</summary>
    public async Task<T> RenewingAsync<T>(string topic, Func<Task<T>> call)
    {
        try
        {
            return await call().ConfigureAwait(false);
        }
        catch (OrleansMqException)
        {
            Forget(topic);
            throw;
        }
    }

    /// <summary>The topic and its dead-letter topic are looked for, and created, again.</summary>
    public void Forget(string topic)
    {
        _known.TryRemove(topic, out _);
        _deadLetters.TryRemove(topic, out _);
    }

    /// <summary>Gives a cursor the provider's options and the dead-letter topic that exists now, if it was not done for that one: it was
    /// deleted, or created again, or the options are those of an earlier deployment.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="queue">The cursor.</param>
    /// <param name="topics">The topics that exist, with their ids.</param>
    /// <param name="cancellationToken">Ends the calls.</param>
    /// <exception cref="BrokerException">A partition is not available, or the dead-letter topic cannot be created.</exception>
    public async Task KeepOptionsAsync(string topic, string queue, IReadOnlyDictionary<string, Guid> topics,
        CancellationToken cancellationToken)
    {
        if (topics.TryGetValue(topic + DeadLetterSuffix, out var id) && _applied.TryGetValue((topic, queue), out var applied)
            && applied == id)
            return;
        Forget(topic);
        var options = await QueueOptionsAsync(topic, cancellationToken).ConfigureAwait(false);
        id = (await client.Broker.GetTopicAsync(topic + DeadLetterSuffix, cancellationToken).ConfigureAwait(false)).TopicId;
        var partitions = (await client.Broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false)).Partitions;
        foreach (var partition in Enumerable.Range(0, partitions).Select(number => new TopicPartition(topic, number)))
        {
            try
            {
                await client.Broker.Queues.AlterAsync(partition, queue, options, cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException none) when (none.Code == ErrorCode.GroupIdNotFound)
            {
                // It is created with these options.
            }
        }
        _applied[(topic, queue)] = id;
    }

    /// <summary>
    /// Creates the cursors of explicit subscriptions that do not exist. A topic without subscriptions is served from the ends that its
    /// partitions had before it was found to have none: what another subscription is owed has come later. Partitions of one with
    /// subscriptions are served from the earliest record: they were added since, or the topic was created again.
    /// </summary>
    /// <returns>The cursor of each partition.</returns>
    /// <exception cref="BrokerException">A partition is not available, or subscriptions cannot be read.</exception>
    public async Task<IReadOnlyList<QueueDescription>> CreateExplicitQueuesAsync(string topic, SubscriptionLog subscriptions,
        CancellationToken cancellationToken)
    {
        var options = await QueueOptionsAsync(topic, cancellationToken).ConfigureAwait(false);
        var found = await client.Broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        var starts = new OffsetSpec[found.Partitions];
        Array.Fill(starts, OffsetSpec.Earliest);
        if (!subscriptions.Table.HasSubscriptions(topic))
        {
            var ends = await Task.WhenAll(Enumerable.Range(0, found.Partitions).Select(partition => EndOfAsync(
                new TopicPartition(topic, partition), cancellationToken))).ConfigureAwait(false);
            await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
            var later = await client.Broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
            if (later.TopicId != found.TopicId)
                throw new BrokerException(ErrorCode.LeaderNotAvailable, $"Topic '{topic}' is deleted and created again now.");
            if (!subscriptions.Table.HasSubscriptions(topic))
                starts = ends;
        }
        return await Task.WhenAll(starts.Select((start, partition) => client.Broker.Queues.CreateAsync(
            new TopicPartition(topic, partition), new NewQueue(ExplicitQueue) { Start = start, Options = options },
            cancellationToken).AsTask())).ConfigureAwait(false);
    }

    /// <summary>Creates a topic unless it exists.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: another silo creates it, and it is not found yet.
    /// Others as of <see cref="IAdmin.EnsureTopicAsync"/>.</exception>
    public static async Task EnsureTopicAsync(OrleansMqClient client, string topic, int? partitions = null,
        IReadOnlyDictionary<string, string>? configs = null, short? replicationFactor = null)
    {
        try
        {
            await client.Admin.EnsureTopicAsync(topic, partitions, configs, replicationFactor).ConfigureAwait(false);
        }
        catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition)
        {
            throw new BrokerException(ErrorCode.LeaderNotAvailable, $"Topic '{topic}' is being created: {unknown.Message}", unknown);
        }
    }

    private async Task<OffsetSpec> EndOfAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        var end = await client.Broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        return end.Error == ErrorCode.None ? OffsetSpec.AtOffset(end.Offset)
            : throw new BrokerException(end.Error, end.Message ?? $"The end of {partition} is not known now: {end.Error}.");
    }

    // One that keeps records less safely than its source would be refused.
    private async Task CreateDeadLettersAsync(string topic, string letters)
    {
        var like = await client.Broker.DescribeTopicAsync(topic).ConfigureAwait(false);
        var configs = new Dictionary<string, string>();
        foreach (var config in like.Configs)
        {
            if (config.Name == "max.message.bytes")
            {
                configs[config.Name] = Math.Min(int.MaxValue, long.Parse(config.Value, CultureInfo.InvariantCulture) + HeaderRoom)
                    .ToString(CultureInfo.InvariantCulture);
            }
            else if (!config.IsDefault && config.Name is "flush.messages" or "flush.ms" or "min.insync.replicas")
                configs[config.Name] = config.Value;
        }
        var replicas = like.Partitions.Max(static partition => partition.Replicas.Count);
        await EnsureTopicAsync(client, letters, like.Partitions.Count, configs, replicas > 0 ? (short)replicas : null)
            .ConfigureAwait(false);
    }
}
