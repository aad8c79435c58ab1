using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 37: adds partitions to topics.</summary>
internal sealed class CreatePartitionsApi() : KafkaApi<CreatePartitionsRequest>(ApiKey.CreatePartitions, 0, 3, flexibleFrom: 2)
{
    protected override CreatePartitionsRequest Read(ref RequestReader reader, short version)
    {
        var topics = new GrowingTopic[reader.ReadArrayLength(elementBytes: 7)];
        for (var index = 0; index < topics.Length; index++)
        {
            var (name, count, assigned) = (reader.ReadString(), reader.ReadInt32(), reader.ReadNullableArrayLength(elementBytes: 2));
            var assignments = assigned < 0 ? null : new int[assigned][];
            for (var other = 0; other < assigned; other++)
            {
                assignments![other] = reader.ReadInt32Array();
                reader.SkipTags();
            }
            topics[index] = new GrowingTopic(name, count, assignments);
            reader.SkipTags();
        }
        reader.ReadInt32(); // How long it may take.
        return new CreatePartitionsRequest(topics, reader.ReadBool());
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, CreatePartitionsRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            var (error, message) = await GrowAsync(context, topic, request.ValidateOnly).ConfigureAwait(false);
            response.WriteString(topic.Name);
            response.WriteError(error);
            response.WriteString(message);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, string? Message)> GrowAsync(RequestContext context, GrowingTopic topic,
        bool validateOnly)
    {
        if (!context.Access.Authorizes(AccessOperation.Alter, ResourceType.Topic, topic.Name))
            return (ErrorCode.TopicAuthorizationFailed, context.Access.RefusalOf(AccessOperation.Alter, ResourceType.Topic, topic.Name));
        if (context.Services.Metadata.Image.FindServed(topic.Name) is not { } before)
            return (ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(topic.Name));
        if (topic.Assignments is not null && topic.Assignments.Length != topic.Count - before.Serving)
            return (ErrorCode.InvalidReplicaAssignment,
                $"{topic.Count - before.Serving} partitions are to be added, {topic.Assignments.Length} are assigned.");
        if (validateOnly)
            return topic.Count > before.Serving && topic.Count <= TopicState.MaxPartitions ? (ErrorCode.None, null)
                : (ErrorCode.InvalidPartitions, $"Topic '{topic.Name}' has {before.Serving} partitions; the new total must be above that, "
                + $"at most {TopicState.MaxPartitions}.");
        // Another total is refused.
        if (topic.Count > before.Serving && topic.Count <= TopicState.MaxPartitions
            && context.Mutate(topic.Count - before.Serving, refuses: context.Version >= 3) is { } exceeded)
            return (ErrorCode.ThrottlingQuotaExceeded, exceeded);
        try
        {
            var grown = await context.Broker.AddPartitionsAsync(topic.Name, topic.Count, context.Aborted).ConfigureAwait(false);
            for (var index = 0; index < topic.Assignments?.Length; index++)
            {
                var number = before.Serving + index;
                if (!grown.Partitions[number].Replicas.SequenceEqual(topic.Assignments[index]))
                    await context.Access.PlaceNewAsync(new TopicPartition(topic.Name, number), topic.Assignments[index], context.Aborted)
                        .ConfigureAwait(false);
            }
            await TopicArrivals.WaitAsync(context.Services, topic.Name, context.Aborted, topic.Count).ConfigureAwait(false);
            return (ErrorCode.None, null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message);
        }
    }
}

/// <summary>The body.</summary>
internal sealed record CreatePartitionsRequest(GrowingTopic[] Topics, bool ValidateOnly);

/// <summary>A topic that is to have more partitions.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Count">The new total.</param>
/// <param name="Assignments">The brokers that are to hold each new partition; null to leave that open.</param>
internal sealed record GrowingTopic(string Name, int Count, int[][]? Assignments);
