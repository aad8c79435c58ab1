using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 20: deletes topics, by name or (from version 6 on) by id.</summary>
internal sealed class DeleteTopicsApi() : KafkaApi<DeleteTopicsRequest>(ApiKey.DeleteTopics, 1, 6, flexibleFrom: 4)
{
    protected override DeleteTopicsRequest Read(ref RequestReader reader, short version)
    {
        MetadataTopic[] topics;
        if (version < 6)
        {
            topics = [.. reader.ReadStringArray().Select(static name => new MetadataTopic(Guid.Empty, name))];
        }
        else
        {
            topics = new MetadataTopic[reader.ReadArrayLength(elementBytes: 18)];
            for (var index = 0; index < topics.Length; index++)
            {
                var name = reader.ReadNullableString();
                topics[index] = new MetadataTopic(reader.ReadUuid(), name);
                reader.SkipTags();
            }
        }
        reader.ReadInt32(); // The timeout.
        return new DeleteTopicsRequest(topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DeleteTopicsRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            var name = topic.Name ?? context.Services.Partitions.NameOf(topic.TopicId);
            var topicId = topic.Name is null ? topic.TopicId : context.Services.Metadata.Image.FindServed(topic.Name)?.TopicId
                ?? Guid.Empty;
            var (error, message) = await DeleteAsync(context, topic, name).ConfigureAwait(false);
            // A client that may not describe the topic learns neither its name nor its id.
            if (name is not null && !context.Access.Authorizes(AccessOperation.Describe, ResourceType.Topic, name))
                (name, topicId) = (topic.Name, topic.TopicId);
            response.WriteString(context.Version >= 6 ? name : name ?? "");
            if (context.Version >= 6)
                response.WriteUuid(topicId);
            response.WriteError(error);
            if (context.Version >= 5)
                response.WriteString(message);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, string? Message)> DeleteAsync(RequestContext context, MetadataTopic topic,
        string? name)
    {
        if (topic.Name is not null && topic.TopicId != Guid.Empty)
            return (ErrorCode.InvalidRequest, "A topic is named by its name or by its id, not by both.");
        if (topic.Name is null && topic.TopicId == Guid.Empty)
            return (ErrorCode.InvalidRequest, "A topic is named by its name or by its id: neither was given.");
        if (name is null)
            return (ErrorCode.UnknownTopicId, $"No topic has the id {topic.TopicId}.");
        if (context.Access.Allows(AccessOperation.Delete, ResourceType.Topic, name)
            && context.Services.Metadata.Image.FindServed(name) is { } served
            && context.Mutate(served.Serving, refuses: context.Version >= 5) is { } exceeded)
            return (ErrorCode.ThrottlingQuotaExceeded, exceeded);
        try
        {
            await (topic.Name is null ? context.Broker.DeleteTopicAsync(name, topic.TopicId, context.Aborted)
                : context.Broker.DeleteTopicAsync(name, context.Aborted)).ConfigureAwait(false);
            return (ErrorCode.None, null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message);
        }
    }
}

/// <summary>The body.</summary>
internal sealed record DeleteTopicsRequest(MetadataTopic[] Topics);
