using System.Text.Json.Serialization.Metadata;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http;

/// <summary>
/// <c>/api/groups/join</c> and its neighbours: requests of group members to <see cref="IGroupCoordinator"/>. An answer of the coordinator
/// has status 200 with its error by name in the body, since most of its errors are steps of the protocol. Problem details are for requests
/// that did not reach it.
/// </summary>
internal static class GroupMemberEndpoints
{
    private const string Path = "/api/groups/";
    private const string Stopping = "The broker is shutting down. Retry with another broker, or with this one in a moment.";
    private const string GroupExample = """{"groupId": "billing", ...}""";

    /// <summary>The most bytes of a body: 16 MiB. A leader sends the assignment of every member, and a commit may contain ten thousand
    /// partitions.</summary>
    public const int MaxBodyBytes = 16 << 20;

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        Map(routes, api, "join", JsonBodies.Groups.JoinGroupBody, JsonBodies.GroupAnswers.JoinGroupResult, JoinAsync);
        Map(routes, api, "sync", JsonBodies.Groups.SyncGroupBody, JsonBodies.GroupAnswers.SyncGroupResult, SyncAsync);
        Map(routes, api, "heartbeat", JsonBodies.Groups.Heartbeat, JsonBodies.GroupAnswers.GroupReply,
            static (http, api, body) => api.BrokerOf(http).Groups.HeartbeatAsync(body, http.RequestAborted));
        Map(routes, api, "leave", JsonBodies.Groups.LeaveGroup, JsonBodies.GroupAnswers.LeaveGroupResult,
            static (http, api, body) => api.BrokerOf(http).Groups.LeaveGroupAsync(
                body with { Members = JsonBodies.Present(body.Members, "members") }, http.RequestAborted));
        Map(routes, api, "consumer-heartbeat", JsonBodies.Groups.ConsumerHeartbeatBody, JsonBodies.GroupAnswers.ConsumerHeartbeatAnswer,
            ConsumerHeartbeatAsync);
        Map(routes, api, "commit-offsets", JsonBodies.Groups.OffsetCommitBody, JsonBodies.GroupAnswers.OffsetCommitResult, CommitAsync);
        Map(routes, api, "commit-transaction-offsets", JsonBodies.Groups.TransactionOffsetCommitBody,
            JsonBodies.GroupAnswers.OffsetCommitResult, CommitAsync);
        Map(routes, api, "fetch-offsets", JsonBodies.Groups.OffsetFetchBody, JsonBodies.GroupAnswers.OffsetFetchResult,
            static (http, api, body) => api.BrokerOf(http).Groups.FetchOffsetsAsync(Checked(body).ToRequest(), http.RequestAborted));
        Map(routes, api, "delete-offsets", JsonBodies.Groups.OffsetDelete, JsonBodies.GroupAnswers.OffsetDeleteResult, DeleteAsync);
    }

    private static async ValueTask<JoinGroupResult> JoinAsync(HttpContext http, ApiServices api, JoinGroupBody body)
    {
        var request =
            (body with
            {
                Protocols = JsonBodies.Present(body.Protocols ?? [], "protocols"),
                ClientHost = HostOf(http, body.ClientHost),
            }).ToRequest();
        return await LongPoll.AskAsync(http, api, ended => api.BrokerOf(http).Groups.JoinGroupAsync(request, ended))
            ?? JoinGroupResult.Failed(ErrorCode.CoordinatorNotAvailable, Stopping, request.MemberId);
    }

    private static async ValueTask<SyncGroupResult> SyncAsync(HttpContext http, ApiServices api, SyncGroupBody body)
    {
        var request = (body with { Assignments = JsonBodies.Present(body.Assignments ?? [], "assignments") }).ToRequest();
        return await LongPoll.AskAsync(http, api, ended => api.BrokerOf(http).Groups.SyncGroupAsync(request, ended))
            ?? new SyncGroupResult(ErrorCode.CoordinatorNotAvailable, Stopping);
    }

    private static async ValueTask<ConsumerHeartbeatAnswer> ConsumerHeartbeatAsync(HttpContext http, ApiServices api,
        ConsumerHeartbeatBody body)
    {
        if (body.MaxWaitMs is < 0 or > BatchEndpoints.MaxWaitMs)
            throw new RequestException($"'maxWaitMs' is {body.MaxWaitMs}; expected a whole number from 0 to {BatchEndpoints.MaxWaitMs}.");
        JsonBodies.Present(body.OwnedPartitions ?? [], "ownedPartitions");
        JsonBodies.Present(body.SubscribedTopicNames ?? [], "subscribedTopicNames");
        var request = (body with { ClientHost = HostOf(http, body.ClientHost) }).ToRequest();
        var groups = api.BrokerOf(http).Groups;
        // One that tells much is answered at once: its objects would be in memory while it waits.
        var result = request.MaxWait > TimeSpan.Zero && !JsonBodies.IsLarge(http) && !api.Gate.Draining.IsCancellationRequested
            ? await LongPoll.AskAsync(http, api, ended => groups.ConsumerGroupHeartbeatAsync(request, ended))
            : null;
        // A draining broker has processed the heartbeat; this call returns the current state without a wait.
        result ??= await groups.ConsumerGroupHeartbeatAsync(request with { MaxWait = TimeSpan.Zero }, http.RequestAborted);
        return ConsumerHeartbeatAnswer.Of(result);
    }

    private static ValueTask<OffsetCommitResult> CommitAsync(HttpContext http, ApiServices api, OffsetCommitBody body)
    {
        CheckOffsets(body.Offsets);
        return api.BrokerOf(http).Groups.CommitOffsetsAsync(body.ToRequest(), http.RequestAborted);
    }

    private static ValueTask<OffsetCommitResult> CommitAsync(HttpContext http, ApiServices api, TransactionOffsetCommitBody body)
    {
        CheckOffsets(body.Offsets);
        return api.BrokerOf(http).Groups.SendAsync(body.ToRequest(), http.RequestAborted);
    }

    private static void CheckOffsets(IReadOnlyList<PartitionOffset> offsets)
    {
        if (JsonBodies.Present(offsets, "offsets").Any(entry => entry.Offset is null))
            throw new RequestException(
                """An entry of 'offsets' lacks its offset; expected {"topic": "orders", "partition": 0, "offset": {"offset": 42}}.""");
    }

    private static ValueTask<OffsetDeleteResult> DeleteAsync(HttpContext http, ApiServices api, OffsetDelete body)
    {
        CheckTopics(body.Partitions);
        return api.BrokerOf(http).Groups.DeleteOffsetsAsync(body, http.RequestAborted);
    }

    private static OffsetFetchBody Checked(OffsetFetchBody body)
    {
        CheckTopics(body.Partitions ?? []);
        return body;
    }

    private static void CheckTopics(IReadOnlyList<TopicPartition> partitions)
    {
        if (partitions.Any(partition => partition.Topic is null))
            throw new RequestException("""An entry of 'partitions' lacks its topic; expected {"topic": "orders", "partition": 0}.""");
    }

    /// <summary>Returns the client's address, or the one that an intermediary gives for its own client.</summary>
    private static string HostOf(HttpContext http, string given) => given.Length > 0 ? given : "/" + http.Connection.RemoteIpAddress;

    private static void Map<TBody, TAnswer>(IEndpointRouteBuilder routes, ApiServices api, string path, JsonTypeInfo<TBody> bodyType,
        JsonTypeInfo<TAnswer> answerType, Func<HttpContext, ApiServices, TBody, ValueTask<TAnswer>> answer) where TBody : class =>
        routes.MapPost(Path + path, async http =>
        {
            _ = new QueryValues(http);
            RequestBody.Limit(http, MaxBodyBytes);
            var body = await JsonBodies.RequireAsync(http, bodyType, GroupExample);
            await JsonBodies.WriteAsync(http, await answer(http, api, body), answerType);
        });
}
