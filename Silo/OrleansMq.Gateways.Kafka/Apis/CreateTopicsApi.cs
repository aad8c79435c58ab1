using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 19: creates topics. Requested replica assignments are applied by reassigning the new, empty partitions.</summary>
internal sealed class CreateTopicsApi() : KafkaApi<CreateTopicsRequest>(ApiKey.CreateTopics, 2, 7, flexibleFrom: 5)
{
    protected override CreateTopicsRequest Read(ref RequestReader reader, short version)
    {
        var topics = new CreatableTopic[reader.ReadArrayLength(elementBytes: 10)];
        for (var index = 0; index < topics.Length; index++)
        {
            var (name, partitions, factor) = (reader.ReadString(), reader.ReadInt32(), reader.ReadInt16());
            var assignments = new SortedDictionary<int, int[]>();
            for (var left = reader.ReadArrayLength(elementBytes: 6); left > 0; left--)
            {
                assignments[reader.ReadInt32()] = reader.ReadInt32Array();
                reader.SkipTags();
            }
            topics[index] = new CreatableTopic(name, partitions, factor, assignments, ConfigPairs.Read(ref reader));
            reader.SkipTags();
        }
        reader.ReadInt32(); // The timeout.
        return new CreateTopicsRequest(topics, reader.ReadBool());
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, CreateTopicsRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        var repeated = request.Topics.GroupBy(static topic => topic.Name).Where(static topics => topics.Count() > 1)
            .Select(static topics => topics.Key).ToHashSet();
        foreach (var topic in request.Topics)
        {
            var created = repeated.Contains(topic.Name)
                ? new CreatedTopic(ErrorCode.InvalidRequest, $"Topic '{topic.Name}' is in the request more than once.", null)
                : await CreateAsync(context, topic, request.ValidateOnly).ConfigureAwait(false);
            Write(response, topic, created);
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<CreatedTopic> CreateAsync(RequestContext context, CreatableTopic topic, bool validateOnly)
    {
        try
        {
            if (!context.Access.AuthorizesCreation(topic.Name))
                return new CreatedTopic(ErrorCode.TopicAuthorizationFailed,
                    context.Access.RefusalOf(AccessOperation.Create, ResourceType.Topic, topic.Name), null);
            var wanted = topic.ToNewTopic();
            if (UnusableBroker(context.Services.Metadata.Image, topic) is { } problem)
                return new CreatedTopic(ErrorCode.InvalidReplicaAssignment, problem, null);
            if (validateOnly)
                return Validate(context, wanted);
            // Another number is refused.
            var isNew = wanted.Partitions <= TopicState.MaxPartitions && context.Services.Metadata.Image.FindServed(topic.Name) is null;
            if (isNew && context.Mutate(Math.Max(wanted.Partitions, 1), refuses: context.Version >= 6) is { } exceeded)
                return new CreatedTopic(ErrorCode.ThrottlingQuotaExceeded, exceeded, null);
            var created = await context.Broker.CreateTopicAsync(wanted, context.Aborted).ConfigureAwait(false);
            // The broker's default, which was not known before.
            if (created.Partitions.Count > Math.Max(wanted.Partitions, 1))
                context.Mutate(created.Partitions.Count - 1, refuses: false);
            await PlaceAsync(context, topic, created).ConfigureAwait(false);
            await TopicArrivals.WaitAsync(context.Services, topic.Name, context.Aborted).ConfigureAwait(false);
            return new CreatedTopic(ErrorCode.None, null, created);
        }
        catch (BrokerException refused)
        {
            return new CreatedTopic(refused.Code, refused.Message, null);
        }
    }

    // Checked before the topic exists: a refused creation leaves none behind.
    private static string? UnusableBroker(ClusterImage image, CreatableTopic topic)
    {
        foreach (var broker in topic.Assignments.Values.SelectMany(static brokers => brokers).Distinct())
        {
            if (!image.Brokers.TryGetValue(broker, out var target))
                return $"There is no broker {broker} to hold a partition of '{topic.Name}': the cluster has "
                    + $"{string.Join(", ", image.Brokers.Keys)}.";
            if (!target.IsAlive)
                return $"Broker {broker} is dead and cannot take a partition of '{topic.Name}': start it, or name another.";
            if (target.IsDraining)
                return $"Broker {broker} is being drained and takes no partition: name another, or resume it.";
        }
        return null;
    }

    private static CreatedTopic Validate(RequestContext context, NewTopic wanted)
    {
        if (TopicName.Validate(wanted.Name) is { } problem)
            return new CreatedTopic(ErrorCode.InvalidTopic, problem, null);
        if (context.Services.Metadata.Image.FindServed(wanted.Name) is not null)
            return new CreatedTopic(ErrorCode.TopicAlreadyExists, $"Topic '{wanted.Name}' already exists.", null);
        if (wanted.Partitions is < -1 or 0 or > TopicState.MaxPartitions)
            return new CreatedTopic(ErrorCode.InvalidPartitions,
                $"A topic may have 1 to {TopicState.MaxPartitions} partitions, not {wanted.Partitions}.", null);
        var alive = context.Services.Metadata.Image.Brokers.Values.Count(static broker => broker.IsAlive);
        if (wanted.ReplicationFactor is < -1 or 0 || wanted.ReplicationFactor > alive)
            return new CreatedTopic(ErrorCode.InvalidReplicationFactor,
                $"The replication factor is {wanted.ReplicationFactor}, and {alive} brokers are alive.", null);
        var configs = TopicConfigRules.Parse(wanted.Configs!, TopicConfig.Default);
        return configs.IsAccepted ? new CreatedTopic(ErrorCode.None, null, null) : new CreatedTopic(configs.Error, configs.Message, null);
    }

    // The topic exists from its creation on, and may have records at once: a fault in between leaves it as it is.
    private static async ValueTask PlaceAsync(RequestContext context, CreatableTopic topic, TopicDescription created)
    {
        try
        {
            foreach (var (number, brokers) in topic.Assignments)
            {
                if (!created.Partitions[number].Replicas.SequenceEqual(brokers))
                    await context.Access.PlaceNewAsync(new TopicPartition(topic.Name, number), brokers, context.Aborted)
                        .ConfigureAwait(false);
            }
        }
        catch (BrokerException fault)
        {
            throw new BrokerException(fault.Code, $"Topic '{topic.Name}' was created, but not all of its replicas are placed as asked: "
                + $"{fault.Message} Reassign its partitions, or delete it.", fault);
        }
    }

    private static void Write(ResponseWriter response, CreatableTopic topic, CreatedTopic created)
    {
        var version = response.Version;
        response.WriteString(topic.Name);
        if (version >= 7)
            response.WriteUuid(created.Topic?.TopicId ?? Guid.Empty);
        response.WriteError(created.Error);
        response.WriteString(created.Message);
        if (version >= 5)
        {
            response.WriteInt32(created.Topic?.Partitions.Count ?? -1);
            response.WriteInt16((short)(created.Topic is { Partitions: [var first, ..] } ? first.Replicas.Count : -1));
            WriteConfigs(response, created.Topic?.Configs ?? []);
        }
        response.WriteNoTags();
    }

    private static void WriteConfigs(ResponseWriter response, IReadOnlyList<ConfigEntry> configs)
    {
        response.WriteLength(configs.Count);
        foreach (var config in configs)
        {
            response.WriteString(config.Name);
            response.WriteString(config.Value);
            response.WriteBool(false);
            response.WriteInt8((sbyte)(config.IsDefault ? ConfigSource.Default : ConfigSource.Topic));
            response.WriteBool(false);
            response.WriteNoTags();
        }
    }

    private sealed record CreatedTopic(ErrorCode Error, string? Message, TopicDescription? Topic);
}

/// <summary>The body.</summary>
internal sealed record CreateTopicsRequest(CreatableTopic[] Topics, bool ValidateOnly);

/// <summary>A topic to create.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Partitions">-1 for the default, or for the number of <paramref name="Assignments"/>.</param>
/// <param name="ReplicationFactor">-1 for the default, or for that of <paramref name="Assignments"/>.</param>
/// <param name="Assignments">The brokers of each partition; empty to let the cluster choose.</param>
/// <param name="Configs">The configuration keys that it sets.</param>
internal sealed record CreatableTopic(string Name, int Partitions, short ReplicationFactor, SortedDictionary<int, int[]> Assignments,
    ConfigPair[] Configs)
{
    /// <summary>Converts to the broker API's form.</summary>
    /// <exception cref="BrokerException">The assignments contradict each other.</exception>
    public NewTopic ToNewTopic()
    {
        var configs = new Dictionary<string, string>();
        foreach (var config in Configs)
            configs[config.Name] = config.Value
                ?? throw new BrokerException(ErrorCode.InvalidConfig, $"'{config.Name}' is null: leave it out for the default.");
        if (Assignments.Count == 0)
            return new NewTopic(Name, Partitions, ReplicationFactor, configs);
        if (Partitions != -1 || ReplicationFactor != -1)
            throw new BrokerException(ErrorCode.InvalidRequest,
                "A request that assigns replicas must have -1 for the number of partitions and the replication factor.");
        var factor = Assignments.Values.First().Length;
        if (!Assignments.Keys.SequenceEqual(Enumerable.Range(0, Assignments.Count))
            || Assignments.Values.Any(brokers => brokers.Length != factor || factor == 0 || brokers.Distinct().Count() != factor))
            throw new BrokerException(ErrorCode.InvalidReplicaAssignment,
                "Assign partitions 0, 1, 2, ... without a gap, each to the same number of brokers, none twice.");
        return new NewTopic(Name, Assignments.Count, checked((short)factor), configs);
    }
}
