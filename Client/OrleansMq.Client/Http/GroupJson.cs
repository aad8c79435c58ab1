using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Groups;

namespace OrleansMq.Client.Http;

/// <summary>The JSON of <c>/api/groups</c>, for both ends: as <see cref="HttpJson"/>, with error codes and states by name, and bytes as
/// base64.</summary>
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
[JsonSerializable(typeof(OffsetFetchBody))]
[JsonSerializable(typeof(OffsetFetchResult))]
[JsonSerializable(typeof(OffsetDelete))]
[JsonSerializable(typeof(OffsetDeleteResult))]
[JsonSerializable(typeof(CoordinatorAnswer))]
[JsonSerializable(typeof(IReadOnlyList<GroupListing>))]
[JsonSerializable(typeof(GroupDescription))]
[JsonSerializable(typeof(IReadOnlyList<FetchedOffset>))]
[JsonSerializable(typeof(IReadOnlyList<PartitionLag>))]
[JsonSerializable(typeof(ResetOffsetsBody))]
[JsonSerializable(typeof(OffsetResetPlan))]
public sealed partial class GroupJson : JsonSerializerContext;
