using OrleansMq.Api;

namespace OrleansMq.Tests.Silo;

/// <summary>A coordinator that records its requests and returns answers in which every field has a distinct value.</summary>
public sealed class RecordedGroups : IGroupCoordinator
{
    private static readonly Guid Topic = new("6f1b5d0e-7c1c-4c55-9d0a-0f3c6e1f2a77");

    public static readonly JoinGroupResult Joined = new()
    {
        Error = ErrorCode.MemberIdRequired,
        Message = "Join again.",
        GenerationId = 7,
        ProtocolType = "consumer",
        ProtocolName = "range",
        Leader = "m-1",
        SkipAssignment = true,
        MemberId = "m-2",
        Members = [new JoinedMember("m-1", "static", new byte[] { 0, 255, 62 }), new JoinedMember("m-2", null, default)],
    };
    public static readonly SyncGroupResult Synced = new(ErrorCode.RebalanceInProgress, "Join again.", "consumer", "range",
        new byte[] { 250, 251 });
    public static readonly GroupReply Beaten = new(ErrorCode.IllegalGeneration, "Join again.");
    public static readonly LeaveGroupResult Left = new(ErrorCode.None, [new LeftMember("m-1", "static", ErrorCode.UnknownMemberId)], "…");
    public static readonly ConsumerGroupHeartbeatResult Heard = new()
    {
        Error = ErrorCode.None,
        Message = "m",
        MemberId = "m-3",
        MemberEpoch = 4,
        HeartbeatInterval = TimeSpan.FromMilliseconds(5001),
        Assignment = [new TopicPartitions(Topic, [0, 2])],
    };
    public static readonly OffsetCommitResult Committed = new([new PartitionError("orders", 1, ErrorCode.OffsetMetadataTooLarge, Topic)],
        "m");
    public static readonly OffsetFetchResult Fetched = new(ErrorCode.UnstableOffsetCommit,
        [new FetchedOffset(new("orders", 1), Topic, new CommittedOffset(5, 2, "words \" 日本", 17)),
            new FetchedOffset(new("orders", 2), Topic, null)], "m");
    public static readonly OffsetDeleteResult Deleted = new(ErrorCode.None,
        [new PartitionError("orders", 1, ErrorCode.GroupSubscribedToTopic, Topic)], "m");
    public static readonly IReadOnlyList<GroupListing> Listed = [new("billing", "consumer", GroupState.Reconciling, GroupType.Consumer)];
    public static readonly GroupDescription Described = new("billing", GroupType.Classic, GroupState.CompletingRebalance, "consumer",
        "range", 3, 4, 2,
    [
        new GroupMember
        {
            MemberId = "m-1", GroupInstanceId = "static", RackId = "r", ClientId = "c", ClientHost = "/h", MemberEpoch = 3,
                Type = GroupType.Consumer, SubscribedTopicNames = ["orders"],
            SubscribedTopicRegex = "o.*", Assignment = [new("orders", 0)], TargetAssignment = [new("orders", 1)],
                ClassicMetadata = new byte[] { 1 },
            ClassicAssignment = new byte[] { 2 },
        },
    ]);

    /// <summary>The requests, in order of arrival.</summary>
    public List<object> Asked { get; } = [];

    /// <summary>The committed offsets, if set.</summary>
    public IReadOnlyList<FetchedOffset>? Offsets { get; init; }

    /// <summary>Runs before each answer; may wait or throw.</summary>
    public Func<CancellationToken, Task>? Before { get; set; }

    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
        AnswerAsync("find " + groupId, 2, cancellationToken);

    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken)
    {
        object answer = request switch
        {
            JoinGroup => Joined,
            SyncGroup => Synced,
            Heartbeat => Beaten,
            LeaveGroup => Left,
            ConsumerGroupHeartbeat => Heard,
            OffsetCommit or TransactionOffsetCommit => Committed,
            OffsetFetch => Offsets is null ? Fetched : new OffsetFetchResult(ErrorCode.None, Offsets),
            OffsetDelete => Deleted,
            DescribeGroup => Described,
            DeleteGroup => default(GroupReply),
            _ => throw new NotSupportedException(),
        };
        object asked = request switch
        {
            DescribeGroup => "describe " + request.GroupId,
            DeleteGroup => "delete " + request.GroupId,
            _ => request,
        };
        return request.Answer(await AnswerAsync(asked, answer, cancellationToken));
    }

    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
        AnswerAsync("list", Listed, cancellationToken);

    private async ValueTask<T> AnswerAsync<T>(object request, T answer, CancellationToken cancellationToken)
    {
        lock (Asked)
            Asked.Add(request);
        if (Before is { } before)
            await before(cancellationToken);
        return answer;
    }
}
