using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>A change of where a share group reads.</summary>
internal static class ShareGroupChange
{
    /// <summary>Sends a change to its group. One that is left without topics, since none is known or allowed, changes nothing.</summary>
    public static async ValueTask<GroupReply> SendAsync(RequestContext context, AlterShareGroup change, AccessOperation operation)
    {
        if (change.MovesAny)
            return await context.Broker.Groups.SendAsync(change, context.Aborted).ConfigureAwait(false);
        return context.Access.Authorizes(operation, ResourceType.Group, change.GroupId) ? new GroupReply(ErrorCode.None, null)
            : new GroupReply(ErrorCode.GroupAuthorizationFailed,
                context.Access.RefusalOf(operation, ResourceType.Group, change.GroupId));
    }
}
