using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The routes of all group requests.</summary>
internal static class GroupRoutes
{
    /// <summary>The path below which all groups are.</summary>
    public const string Root = "api/groups";

    private static GroupJson Json => GroupJson.Default;

    // For a key that is a GroupRequest of T, the value is a GroupRoute of T.
    private static readonly Dictionary<Type, object> Routes = new()
    {
        [typeof(JoinGroup)] = new ProtocolRoute<JoinGroup, JoinGroupResult, JoinGroupBody, JoinGroupResult>("join", JoinGroupBody.Of,
            Json.JoinGroupBody, Json.JoinGroupResult, Same, static request => request.RebalanceTimeout),
        [typeof(SyncGroup)] = new ProtocolRoute<SyncGroup, SyncGroupResult, SyncGroupBody, SyncGroupResult>("sync", SyncGroupBody.Of,
            Json.SyncGroupBody, Json.SyncGroupResult, Same),
        [typeof(Heartbeat)] = new ProtocolRoute<Heartbeat, GroupReply, Heartbeat, GroupReply>("heartbeat", Same, Json.Heartbeat,
            Json.GroupReply, Same),
        [typeof(LeaveGroup)] = new ProtocolRoute<LeaveGroup, LeaveGroupResult, LeaveGroup, LeaveGroupResult>("leave", Same,
            Json.LeaveGroup, Json.LeaveGroupResult, Same),
        [typeof(ConsumerGroupHeartbeat)] =
            new ProtocolRoute<ConsumerGroupHeartbeat, ConsumerGroupHeartbeatResult, ConsumerHeartbeatBody, ConsumerHeartbeatAnswer>(
            "consumer-heartbeat", ConsumerHeartbeatBody.Of, Json.ConsumerHeartbeatBody, Json.ConsumerHeartbeatAnswer,
            static answer => answer.ToResult(), static request => request.MaxWait),
        [typeof(OffsetCommit)] = new ProtocolRoute<OffsetCommit, OffsetCommitResult, OffsetCommitBody, OffsetCommitResult>(
            "commit-offsets", OffsetCommitBody.Of, Json.OffsetCommitBody, Json.OffsetCommitResult, Same),
        [typeof(TransactionOffsetCommit)] =
            new ProtocolRoute<TransactionOffsetCommit, OffsetCommitResult, TransactionOffsetCommitBody, OffsetCommitResult>(
            "commit-transaction-offsets", TransactionOffsetCommitBody.Of, Json.TransactionOffsetCommitBody, Json.OffsetCommitResult, Same),
        [typeof(OffsetFetch)] = new ProtocolRoute<OffsetFetch, OffsetFetchResult, OffsetFetchBody, OffsetFetchResult>("fetch-offsets",
            OffsetFetchBody.Of, Json.OffsetFetchBody, Json.OffsetFetchResult, Same),
        [typeof(OffsetDelete)] = new ProtocolRoute<OffsetDelete, OffsetDeleteResult, OffsetDelete, OffsetDeleteResult>("delete-offsets",
            Same, Json.OffsetDelete, Json.OffsetDeleteResult, Same),
        [typeof(DescribeGroup)] = new AdministrationRoute<GroupDescription>(static (broker, path, cancellationToken) =>
            broker.AskAsync(HttpMethod.Get, path, null, Json.GroupDescription, cancellationToken)),
        [typeof(DeleteGroup)] = new AdministrationRoute<GroupReply>(static async (broker, path, cancellationToken) =>
        {
            await broker.TellAsync(HttpMethod.Delete, path, null, cancellationToken).ConfigureAwait(false);
            return default;
        }),
    };

    /// <summary>Returns the route of a request.</summary>
    /// <exception cref="NotSupportedException">The request has no route over HTTP.</exception>
    public static GroupRoute<TResult> For<TResult>(IGroupRequest<TResult> request) =>
        Routes.TryGetValue(request.GetType(), out var route) ? (GroupRoute<TResult>)route
        : throw new NotSupportedException($"{request.GetType().Name} is not served over HTTP: send it within the cluster.");

    /// <summary>Returns the path of a group. The names "." and ".." are refused, since in a path they always mean something else.</summary>
    public static string PathOf(string groupId) => groupId is not (null or "" or "." or "..")
        ? $"{Root}/{Uri.EscapeDataString(groupId)}"
        : throw new BrokerException(ErrorCode.InvalidGroupId, $"The group id is '{groupId}'; choose one that is not empty, '.' or '..'.");

    private static T Same<T>(T value) => value;
}

/// <summary>The JSON of <c>/api/groups</c>, for server and client. Like <see cref="HttpJson"/>, with error codes and states by name, and
/// bytes as base64.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true)]
[JsonSerializable(typeof(JoinGroupBody))]
[JsonSerializable(typeof(JoinGroupResult))]
[JsonSerializable(typeof(SyncGroupBody))]
[JsonSerializable(typeof(SyncGroupResult))]
[JsonSerializable(typeof(Heartbeat))]
[JsonSerializable(typeof(GroupReply))]
[JsonSerializable(typeof(LeaveGroup))]
[JsonSerializable(typeof(LeaveGroupResult))]
[JsonSerializable(typeof(ConsumerHeartbeatBody))]
[JsonSerializable(typeof(ConsumerHeartbeatAnswer))]
[JsonSerializable(typeof(OffsetCommitBody))]
[JsonSerializable(typeof(OffsetCommitResult))]
[JsonSerializable(typeof(TransactionOffsetCommitBody))]
[JsonSerializable(typeof(OffsetFetchBody))]
[JsonSerializable(typeof(OffsetFetchResult))]
[JsonSerializable(typeof(OffsetDelete))]
[JsonSerializable(typeof(OffsetDeleteResult))]
[JsonSerializable(typeof(CoordinatorAnswer))]
[JsonSerializable(typeof(IReadOnlyList<GroupListing>))]
[JsonSerializable(typeof(GroupDescription))]
[JsonSerializable(typeof(IReadOnlyList<FetchedOffset>))]
[JsonSerializable(typeof(IReadOnlyList<PartitionLag>))]
[JsonSerializable(typeof(IReadOnlyList<SharePartition>))]
[JsonSerializable(typeof(ResetOffsetsBody))]
[JsonSerializable(typeof(OffsetResetPlan))]
internal sealed partial class GroupJson : JsonSerializerContext;
