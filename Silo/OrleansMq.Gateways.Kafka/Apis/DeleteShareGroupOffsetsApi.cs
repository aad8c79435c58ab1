using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 92: deletes the cursors of a share group that has no members, by topic.</summary>
internal sealed class DeleteShareGroupOffsetsApi()
    : KafkaApi<DeleteShareGroupOffsetsRequest>(ApiKey.DeleteShareGroupOffsets, 0, 0, flexibleFrom: 0)
{
    protected override DeleteShareGroupOffsetsRequest Read(ref RequestReader reader, short version)
    {
        var groupId = reader.ReadString();
        var topics = new string[reader.ReadArrayLength(elementBytes: 2)];
        for (var index = 0; index < topics.Length; index++)
        {
            topics[index] = reader.ReadString();
            reader.SkipTags();
        }
        return new DeleteShareGroupOffsetsRequest(groupId, topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DeleteShareGroupOffsetsRequest request,
        ResponseWriter response)
    {
        var image = context.Services.Metadata.Image;
        var topics = request.Topics.Distinct().Select(name => (Name: name, Served: image.FindServed(name),
            IsAllowed: context.Access.Authorizes(AccessOperation.Read, ResourceType.Topic, name))).ToArray();
        var change = new AlterShareGroup(request.GroupId)
        {
            DeletedTopics = [.. topics.Where(static topic => topic is { IsAllowed: true, Served: not null })
                .Select(static topic => topic.Served!.TopicId)],
        };
        var reply = await ShareGroupChange.SendAsync(context, change, AccessOperation.Delete).ConfigureAwait(false);
        response.WriteThrottle();
        response.WriteError(reply.Error);
        response.WriteString(reply.Message);
        response.WriteLength(reply.Error == ErrorCode.None ? topics.Length : 0);
        foreach (var (name, served, isAllowed) in reply.Error == ErrorCode.None ? topics : [])
        {
            response.WriteString(name);
            response.WriteUuid(isAllowed && served is not null ? served.TopicId : Guid.Empty);
            response.WriteError(!isAllowed ? ErrorCode.TopicAuthorizationFailed : served is null ? ErrorCode.UnknownTopicOrPartition
                : ErrorCode.None);
            response.WriteString(null);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }
}

/// <summary>The body.</summary>
internal sealed record DeleteShareGroupOffsetsRequest(string GroupId, string[] Topics);
