using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Consumers;

/// <summary>Makes topics and dead-letter topics, and keeps the options of cursors. Thread-safe.</summary>
internal class CursorTopics(OrleansMqClient client, DeliveryOptions delivery)
{
    /// <summary>The longest name of a cursor.</summary>
    protected const int LongestQueueName = 249;

    /// <summary>What the name of a dead-letter topic has after that of its source.</summary>
    // The same in every version: a dead-letter topic of one must not be an ordinary topic of another.
    protected const string DeadLetterSuffix = ".dead-letter";

    // A record that ends the silo that delivers it goes to the dead-letter topic at last. No grain has named a cause by then.
    private const int DeathsPerAttempt = 10;

    // Room for a dead letter's headers.
    private const int HeaderRoom = 64 << 10;

    // What no grain has had is kept, however long that takes.
    private static readonly Dictionary<string, string> UntilSettled = new() { ["retention.until.settled"] = "true" };

    private readonly ConcurrentDictionary<string, Once> _known = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Once> _deadLetters = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(string Topic, string Queue), AppliedOptions> _applied = new();
    private readonly ConcurrentDictionary<(string Topic, string Queue), int> _rounds = new();

    /// <summary>The broker.</summary>
    protected OrleansMqClient Client { get; } = client;

    /// <summary>Returns a cursor's name: the given one, or a short one in its place where that is too long.</summary>
    /// <param name="prefix">The beginning that both have.</param>
    /// <param name="rest">The rest. The grain type of a generic class may be long.</param>
    protected internal static string NameOf(string prefix, string rest) => prefix.Length + rest.Length <= LongestQueueName
        ? prefix + rest : $"{prefix}{Hashes.Of(prefix + rest):N}";

    /// <summary>Completes when the topic exists.</summary>
    /// <exception cref="BrokerException">It does not exist, or cannot be created.</exception>
    public Task EnsureAsync(string topic, CancellationToken cancellationToken) => _known.GetOrAdd(topic, name => new Once(async () =>
    {
        if (delivery.CreateTopics)
            await EnsureTopicAsync(Client, name, configs: UntilSettled).ConfigureAwait(false);
        else
            await Client.Broker.GetTopicAsync(name).ConfigureAwait(false);
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
            MaxFailures = delivery.MaxAttempts * DeathsPerAttempt,
            RetryDelay = delivery.RetryDelay,
            MaxRetryDelay = delivery.MaxRetryDelay,
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

    /// <summary>Gives a cursor the options and the dead-letter topic that exists now, in the partitions where it was not done for that one:
    /// it was deleted, or created again, or the options are those of an earlier deployment. A partition that is away holds no other back.
    /// Record times are turned off in every round.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="queue">The cursor.</param>
    /// <param name="topics">The topics that exist, with their ids.</param>
    /// <param name="cancellationToken">Ends the calls.</param>
    /// <exception cref="BrokerException">A partition is not available, or the dead-letter topic cannot be created.</exception>
    public async Task KeepOptionsAsync(string topic, string queue, IReadOnlyDictionary<string, Guid> topics,
        CancellationToken cancellationToken)
    {
        var applied = _applied.GetValueOrDefault((topic, queue));
        if (applied is not null && (!topics.TryGetValue(topic + DeadLetterSuffix, out var listed) || listed != applied.Letters
            || await HasRecordTimesAsync(topic, queue, cancellationToken).ConfigureAwait(false)))
            applied = null;
        if (applied is { IsComplete: true })
            return;
        Forget(topic);
        var options = await QueueOptionsAsync(topic, cancellationToken).ConfigureAwait(false);
        var id = (await Client.Broker.GetTopicAsync(topic + DeadLetterSuffix, cancellationToken).ConfigureAwait(false)).TopicId;
        var partitions = (await Client.Broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false)).Partitions;
        if (applied?.Letters != id)
            applied = new AppliedOptions(id, [], IsComplete: false);
        BrokerException? away = null;
        foreach (var number in Enumerable.Range(0, partitions).Except(applied.Partitions))
        {
            try
            {
                await Client.Broker.Queues.AlterAsync(new TopicPartition(topic, number), queue, options,
                    cancellationToken: cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException none) when (none.Code == ErrorCode.GroupIdNotFound)
            {
                // It is created with these options.
            }
            catch (BrokerException failure)
            {
                away ??= failure;
                continue;
            }
            applied = applied with { Partitions = applied.Partitions.Add(number) };
        }
        _applied[(topic, queue)] = applied with { IsComplete = away is null };
        if (away is not null)
            throw new BrokerException(away.Code, away.Message, away);
    }

    // A record that names its time lets later ones of its key go first, after which it counts as handled. An alteration concerns all
    // partitions of a topic: one of them is looked at in a round.
    private async Task<bool> HasRecordTimesAsync(string topic, string queue, CancellationToken cancellationToken)
    {
        var round = _rounds.AddOrUpdate((topic, queue), 0, static (_, last) => last == int.MaxValue ? 0 : last + 1);
        try
        {
            var partitions = (await Client.Broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false)).Partitions;
            return (await Client.Broker.Queues.DescribeAsync(new TopicPartition(topic, round % partitions), queue, cancellationToken)
                .ConfigureAwait(false)).Options.HasRecordTimes;
        }
        catch (BrokerException)
        {
            // The partition is away, or has no such cursor yet. A later round looks again.
            return false;
        }
    }

    /// <summary>Creates a topic unless it exists.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: another silo creates it, and it is not found yet.
    /// Others as of <see cref="IAdmin.EnsureTopicAsync"/>.</exception>
    public static async Task EnsureTopicAsync(OrleansMqClient broker, string topic, int? partitions = null,
        IReadOnlyDictionary<string, string>? configs = null, short? replicationFactor = null)
    {
        try
        {
            await broker.Admin.EnsureTopicAsync(topic, partitions, configs, replicationFactor).ConfigureAwait(false);
        }
        catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition)
        {
            throw new BrokerException(ErrorCode.LeaderNotAvailable, $"Topic '{topic}' is being created: {unknown.Message}", unknown);
        }
    }

    // One that keeps records less safely than its source would be refused for every queue that is new, such as that of a replay. One that
    // is there may be older than the source's settings.
    private async Task CreateDeadLettersAsync(string topic, string letters)
    {
        var like = await Client.Broker.DescribeTopicAsync(topic).ConfigureAwait(false);
        var configs = new Dictionary<string, string>();
        foreach (var config in like.Configs)
        {
            if (config.Name == "max.message.bytes")
            {
                configs[config.Name] = Math.Min(int.MaxValue, NumberOf(config.Value) + HeaderRoom)
                    .ToString(CultureInfo.InvariantCulture);
            }
            else if (!config.IsDefault && config.Name is "flush.messages" or "flush.ms" or "min.insync.replicas")
                configs[config.Name] = config.Value;
        }
        var replicas = like.IntendedReplicationFactor ?? like.Partitions.Max(static partition => partition.Replicas.Count);
        await EnsureTopicAsync(Client, letters, like.Partitions.Count, configs, replicas > 0 ? (short)replicas : null)
            .ConfigureAwait(false);
        var existing = await Client.Broker.DescribeTopicAsync(letters).ConfigureAwait(false);
        var weaker = configs.Where(wanted => existing.Configs.Any(config => config.Name == wanted.Key
            && IsWeaker(config.Name, NumberOf(config.Value), NumberOf(wanted.Value))) && CanHave(existing, wanted.Key, wanted.Value))
            .ToDictionary(static wanted => wanted.Key, static wanted => (string?)wanted.Value);
        if (weaker.Count == 0)
            return;
        try
        {
            await Client.Broker.AlterTopicAsync(letters, weaker).ConfigureAwait(false);
        }
        catch (BrokerException refused) when (TopicSettings.IsRefusal(refused))
        {
            // Queues that are there go on with it, and the refusal of a new one names the setting.
        }
    }

    // With more than it has replicas, it would take no letter any more.
    private static bool CanHave(TopicDescription letters, string name, string value) => name != "min.insync.replicas"
        || NumberOf(value) <= (letters.IntendedReplicationFactor ?? letters.Partitions.Min(static partition => partition.Replicas.Count));

    // Flushes are counted by what is not flushed.
    private static bool IsWeaker(string name, long value, long wanted) =>
        name.StartsWith("flush.", StringComparison.Ordinal) ? value > wanted : value < wanted;

    private static long NumberOf(string value) => long.Parse(value, CultureInfo.InvariantCulture);

    // The partitions where a cursor has its options, with one dead-letter topic.
    private sealed record AppliedOptions(Guid Letters, ImmutableHashSet<int> Partitions, bool IsComplete);
}
