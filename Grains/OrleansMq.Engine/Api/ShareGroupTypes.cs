using System.Buffers.Binary;

namespace OrleansMq.Api;

/// <summary>Kafka's ShareGroupHeartbeat request (KIP-932): a member of a share group joins, keeps its session alive, fetches its
/// assignment, and leaves. A null property is unchanged since the last heartbeat.</summary>
public sealed record ShareGroupHeartbeat : IGroupRequest<ShareGroupHeartbeatResult>
{
    /// <summary>The epoch that joins the group.</summary>
    public const int JoinEpoch = 0;
    /// <summary>The epoch that leaves the group.</summary>
    public const int LeaveEpoch = -1;

    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The member's id, chosen by the member.</summary>
    public required string MemberId { get; init; }
    /// <summary>The last epoch received, or <see cref="JoinEpoch"/>, <see cref="LeaveEpoch"/>.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>The member's rack; null for none, or unchanged.</summary>
    public string? RackId { get; init; }
    /// <summary>The names of the subscribed topics; null for unchanged.</summary>
    public IReadOnlyList<string>? SubscribedTopicNames { get; init; }
    /// <summary>Where the group begins in partitions that it does not read yet. A topic that is in neither list begins at its first
    /// record.</summary>
    public IReadOnlyList<ShareCursorMove> Starts { get; init; } = [];
    /// <summary>Topics whose <see cref="Starts"/> the caller looks up once it knows that the group needs them
    /// (<see cref="ShareGroupHeartbeatResult.Unstarted"/>).</summary>
    public IReadOnlyList<Guid> StartsFollow { get; init; } = [];
    /// <summary>The client's name for itself, for descriptions.</summary>
    public string ClientId { get; init; } = "";
    /// <summary>The client's address, for descriptions.</summary>
    public string ClientHost { get; init; } = "";

    bool ICoordinatorRequest.NeedsFreshId => true;

    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => ShareGroupHeartbeatResult.Failed(error, message);
}

/// <summary>The response to <see cref="ShareGroupHeartbeat"/>.</summary>
public sealed record ShareGroupHeartbeatResult : IGroupAnswer
{
    /// <summary><see cref="ErrorCode.None"/>, or why the heartbeat failed. On <see cref="ErrorCode.FencedMemberEpoch"/> and
    /// <see cref="ErrorCode.UnknownMemberId"/> the member joins anew.</summary>
    public required ErrorCode Error { get; init; }
    /// <summary>On error, the field at fault and how to fix it.</summary>
    public string? Message { get; init; }
    /// <summary>The caller's id.</summary>
    public string? MemberId { get; init; }
    /// <summary>The member's current epoch.</summary>
    public int MemberEpoch { get; init; }
    /// <summary>The time until the next heartbeat is due.</summary>
    public TimeSpan HeartbeatInterval { get; init; }
    /// <summary>The member's whole assignment. Several members may have the same partition. Null for unchanged.</summary>
    public IReadOnlyList<TopicPartitions>? Assignment { get; init; }
    /// <summary>The partitions of the member's topics that no member is given, as where the group begins there is not known. The next
    /// heartbeat of any member tells it in <see cref="ShareGroupHeartbeat.Starts"/>.</summary>
    public IReadOnlyList<TopicPartitions> Unstarted { get; init; } = [];
    /// <summary>The topics of <see cref="Unstarted"/> that the group reads since this heartbeat: it begins there now, elsewhere when it
    /// began to read the topic.</summary>
    public IReadOnlyList<Guid> NewTopics { get; init; } = [];

    /// <summary>Creates a failed result.</summary>
    public static ShareGroupHeartbeatResult Failed(ErrorCode error, string message) => new() { Error = error, Message = message };
}

/// <summary>Asks for a share group's configuration and its cursors, as stored: for the leader of a partition before it serves members, and
/// for operators. A group that does not exist has no cursors; it may have a configuration.</summary>
/// <param name="GroupId">The group.</param>
public sealed record FindShareCursors(string GroupId) : IGroupRequest<ShareCursorsResult>
{
    AccessOperation IGroupRequest.Operation => AccessOperation.Describe;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new ShareCursorsResult(error, message, false, [], []);
}

/// <summary>The response to <see cref="FindShareCursors"/>.</summary>
/// <param name="Error"><see cref="ErrorCode.None"/>; <see cref="ErrorCode.GroupIdNotFound"/>: it is a group of another protocol; the
/// configuration is that of its id.</param>
/// <param name="Message">On error, the cause and how to fix it.</param>
/// <param name="HasMembers">Whether the group has members.</param>
/// <param name="Configs">The configuration that was set.</param>
/// <param name="Topics">The cursors by topic.</param>
public sealed record ShareCursorsResult(ErrorCode Error, string? Message, bool HasMembers,
    IReadOnlyList<ShareGroupSetting> Configs, IReadOnlyList<ShareTopicCursors> Topics) : IGroupAnswer;

/// <summary>A value of a share group's configuration.</summary>
/// <param name="Name">Kafka's name.</param>
/// <param name="Value">The value; null: the default.</param>
public sealed record ShareGroupSetting(string Name, string? Value);

/// <summary>The cursors of a share group in one topic.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Incarnation">The incarnation of the cursors without an entry in <paramref name="Resets"/>.</param>
/// <param name="Partitions">The number of partitions that begin at a stated offset. Later ones are read from their first record on.</param>
/// <param name="Resets">The cursors that begin at a stated offset, by partition, ascending: since the group joined, or since an operator
/// moved them.</param>
public sealed record ShareTopicCursors(Guid TopicId, Guid Incarnation, int Partitions, IReadOnlyList<ShareCursorReset> Resets)
{
    /// <summary>Returns where a partition's cursor begins; null: at its first record, or it is not known yet.</summary>
    public ShareCursorReset? FindReset(int partition)
    {
        foreach (var reset in Resets)
        {
            if (reset.Partition == partition)
                return reset;
        }
        return null;
    }

    /// <summary>When the group began to read the topic, or was moved there, by its coordinator's clock.</summary>
    internal DateTimeOffset Since => DateTimeOffset.FromUnixTimeMilliseconds(TimeOf(Incarnation));

    /// <summary>Returns the time of an incarnation, in milliseconds since 1970: its first 48 bits.</summary>
    /// <param name="incarnation">The incarnation.</param>
    internal static long TimeOf(Guid incarnation)
    {
        Span<byte> bytes = stackalloc byte[16];
        incarnation.TryWriteBytes(bytes, bigEndian: true, out _);
        return BinaryPrimitives.ReadInt64BigEndian(bytes) >>> 16;
    }

    /// <summary>Whether a partition begins at a stated offset that was not stated yet.</summary>
    internal bool IsUnstarted(int partition) => partition < Partitions && FindReset(partition) is null;

    /// <summary>Returns the partitions that begin at a stated offset which nobody has stated yet, ascending.</summary>
    internal IEnumerable<int> Unstarted()
    {
        var next = 0;
        foreach (var reset in Resets)
        {
            for (; next < Math.Min(reset.Partition, Partitions); next++)
                yield return next;
            next = reset.Partition + 1;
        }
        for (; next < Partitions; next++)
            yield return next;
    }
}

/// <summary>A cursor that begins at a stated offset.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="Incarnation">The incarnation that it has since.</param>
/// <param name="StartOffset">The first record.</param>
public sealed record ShareCursorReset(int Partition, Guid Incarnation, long StartOffset);

/// <summary>Changes a share group: its configuration, or, while it has no members, where it reads. All or nothing. The configuration is
/// that of the id: it can be set before there is a group, and stays when the group is deleted.</summary>
/// <param name="GroupId">The group.</param>
public sealed record AlterShareGroup(string GroupId) : IGroupRequest<GroupReply>
{
    /// <summary>The values to set, or to remove.</summary>
    public IReadOnlyList<ShareGroupSetting> Configs { get; init; } = [];
    /// <summary>The cursors to move.</summary>
    public IReadOnlyList<ShareCursorMove> Moves { get; init; } = [];
    /// <summary>The topics whose cursors are deleted.</summary>
    public IReadOnlyList<Guid> DeletedTopics { get; init; } = [];

    internal const string DeadLetterKey = "share.dead.letter.topic";

    /// <summary>The topic that dead letters go to from now on; null: that is not changed, or there is none any more.</summary>
    internal string? DeadLetterTopic =>
        Configs.LastOrDefault(static config => config.Name == DeadLetterKey)?.Value is { Length: > 0 } topic ? topic : null;

    internal bool MovesAny => Moves.Count > 0 || DeletedTopics.Count > 0;

    /// <summary>All that it does to the group.</summary>
    internal IEnumerable<AccessOperation> Operations
    {
        get
        {
            if (Configs.Count > 0 || !MovesAny)
                yield return AccessOperation.AlterConfigs;
            if (DeletedTopics.Count > 0)
                yield return AccessOperation.Delete;
            if (Moves.Count > 0)
                yield return AccessOperation.Read;
        }
    }

    bool ICoordinatorRequest.NeedsFreshId => true;

    AccessOperation IGroupRequest.Operation => Operations.First();

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}

/// <summary>Moves a cursor.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Partition">The partition.</param>
/// <param name="StartOffset">The first record, from 0.</param>
public sealed record ShareCursorMove(Guid TopicId, int Partition, long StartOffset);
