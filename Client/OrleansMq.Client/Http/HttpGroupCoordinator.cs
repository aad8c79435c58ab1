using System.Net.Http.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Api;

namespace OrleansMq.Client.Http;

/// <summary>
/// Consumer groups over HTTP. Requests of the protocols are asked of one broker after the other as long as they were certainly not done;
/// where that is unknown they return <see cref="ErrorCode.CoordinatorNotAvailable"/>, since each of them may be sent again, and the next
/// call asks the next broker.
/// </summary>
internal sealed class HttpGroupCoordinator(HttpBroker broker) : IGroupCoordinator
{
    private const string Groups = "api/groups";

    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
        (await broker.AskAsync(HttpMethod.Get, PathOf(groupId) + "/coordinator", null, GroupJson.Default.CoordinatorAnswer,
            cancellationToken).ConfigureAwait(false)).BrokerId;

    /// <inheritdoc/>
    public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken) =>
        PostAsync("join", JoinGroupBody.Of(request), GroupJson.Default.JoinGroupBody, GroupJson.Default.JoinGroupResult,
            (code, message) => JoinGroupResult.Failed(code, message, request.MemberId), request.RebalanceTimeout, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken) =>
        PostAsync("sync", SyncGroupBody.Of(request), GroupJson.Default.SyncGroupBody, GroupJson.Default.SyncGroupResult,
            static (code, message) => new SyncGroupResult(code, message), TimeSpan.Zero, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken) =>
        PostAsync("heartbeat", request, GroupJson.Default.Heartbeat, GroupJson.Default.GroupReply,
            static (code, message) => new GroupReply(code, message), TimeSpan.Zero, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken) =>
        PostAsync("leave", request, GroupJson.Default.LeaveGroup, GroupJson.Default.LeaveGroupResult,
            static (code, message) => new LeaveGroupResult(code, [], message), TimeSpan.Zero, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken)
    {
        var answer = await PostAsync("consumer-heartbeat", ConsumerHeartbeatBody.Of(request), GroupJson.Default.ConsumerHeartbeatBody,
            GroupJson.Default.ConsumerHeartbeatAnswer,
            static (code, message) => ConsumerHeartbeatAnswer.Of(ConsumerGroupHeartbeatResult.Failed(code, message)),
            request.MaxWait, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }

    /// <inheritdoc/>
    public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken) =>
        PostAsync("commit-offsets", OffsetCommitBody.Of(request), GroupJson.Default.OffsetCommitBody, GroupJson.Default.OffsetCommitResult,
            (code, message) =>
            new OffsetCommitResult(
                [.. request.Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, code, offset.TopicId))], message),
            TimeSpan.Zero, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken) =>
        PostAsync("fetch-offsets", OffsetFetchBody.Of(request), GroupJson.Default.OffsetFetchBody, GroupJson.Default.OffsetFetchResult,
            static (code, message) => new OffsetFetchResult(code, [], message), TimeSpan.Zero, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken) =>
        PostAsync("delete-offsets", request, GroupJson.Default.OffsetDelete, GroupJson.Default.OffsetDeleteResult,
            static (code, message) => new OffsetDeleteResult(code, [], message), TimeSpan.Zero, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Get, Groups, null, GroupJson.Default.IReadOnlyListGroupListing, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Get, PathOf(groupId), null, GroupJson.Default.GroupDescription, cancellationToken);

    /// <inheritdoc/>
    public ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Delete, PathOf(groupId), null, cancellationToken);

    /// <summary>The path of a group. Two names mean something else in every path, however they are written.</summary>
    internal static string PathOf(string groupId) => groupId is not (null or "" or "." or "..")
        ? $"{Groups}/{Uri.EscapeDataString(groupId)}"
        : throw new BrokerException(ErrorCode.InvalidGroupId, $"The group id is '{groupId}'; choose one that is not empty, '.' or '..'.");

    private async ValueTask<TAnswer> PostAsync<TBody, TAnswer>(string path, TBody body, JsonTypeInfo<TBody> bodyType,
        JsonTypeInfo<TAnswer> answerType,
        Func<ErrorCode, string, TAnswer> failed, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        try
        {
            return await broker.OfferAsync($"{Groups}/{path}", () => JsonContent.Create(body, bodyType), answerType, maxWait,
                cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException e)
        {
            return failed(CodeOf(e), e.Message);
        }
    }

    /// <summary>A broker that is not there, or does not serve yet, is a coordinator that is not there.</summary>
    private static ErrorCode CodeOf(BrokerException e) =>
        e is BrokerUnreachableException || e.Code is ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut
        ? ErrorCode.CoordinatorNotAvailable : e.Code;
}
