using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Streams;

/// <summary>The topics of a provider, and their cursors. Thread-safe.</summary>
internal sealed class StreamTopics(OrleansMqClient client, string provider, OrleansMqStreamOptions options)
{
    private const int LongestQueueName = 249;

    // A record that ends the silo that delivers it goes to the dead-letter topic at last. No observer has named a cause by then.
    private const int DeathsPerAttempt = 10;

    // Room for a dead letter's headers.
    private const int HeaderRoom = 64 << 10;

    private readonly ConcurrentDictionary<string, Once> _known = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Once> _deadLetters = new(StringComparer.Ordinal);

    /// <summary>The name of the cursor of explicit subscriptions.</summary>
    public string ExplicitQueue => $"streams.{provider}";

    /// <summary>Returns the name of a grain class's cursor.</summary>
    public string QueueOf(GrainType grainType)
    {
        var name = $"streams.{provider}.{grainType}";
        // The grain type of a generic class may be longer.
        return name.Length <= LongestQueueName ? name : $"streams.{provider}.{Hashes.Of(name):N}";
    }

    /// <summary>Whether events of a topic are for implicit subscriptions: neither internal topics nor dead letters are.</summary>
    public bool IsForImplicit(string topic) =>
        !topic.StartsWith("__", StringComparison.Ordinal) && !topic.EndsWith(options.DeadLetterSuffix, StringComparison.Ordinal);

    /// <summary>Completes when the topic exists.</summary>
    /// <exception cref="BrokerException">It does not exist, or cannot be created.</exception>
    public Task EnsureAsync(string topic, CancellationToken cancellationToken) => _known.GetOrAdd(topic, name => new Once(async () =>
    {
        if (options.CreateTopics)
            await EnsureTopicAsync(client, name).ConfigureAwait(false);
        else
            await client.Broker.GetTopicAsync(name).ConfigureAwait(false);
    })).EnsureAsync().WaitAsync(cancellationToken);

    /// <summary>Returns the options with which the cursors of a topic are created. Its dead-letter topic then exists.</summary>
    /// <exception cref="BrokerException">The dead-letter topic cannot be created.</exception>
    public async Task<QueueOptions> QueueOptionsAsync(string topic, CancellationToken cancellationToken)
    {
        var letters = topic + options.DeadLetterSuffix;
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
        IReadOnlyDictionary<string, string>? configs = null)
    {
        try
        {
            await client.Admin.EnsureTopicAsync(topic, partitions, configs).ConfigureAwait(false);
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
        await EnsureTopicAsync(client, letters, like.Partitions.Count, configs).ConfigureAwait(false);
    }
}
