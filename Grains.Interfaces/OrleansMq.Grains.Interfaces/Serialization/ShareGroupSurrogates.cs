using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="ShareGroupHeartbeat"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ShareGroupHeartbeat.1")]
internal struct ShareGroupHeartbeatSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public string MemberId;
    [Id(2)] public int MemberEpoch;
    [Id(3)] public string? RackId;
    [Id(4)] public string[]? SubscribedTopicNames;
    [Id(5)] public string ClientId;
    [Id(6)] public string ClientHost;
    [Id(7)] public ShareCursorMove[]? Starts;
    [Id(8)] public Guid[]? StartsFollow;
}

[RegisterConverter]
internal sealed class ShareGroupHeartbeatConverter : IConverter<ShareGroupHeartbeat, ShareGroupHeartbeatSurrogate>
{
    public ShareGroupHeartbeat ConvertFromSurrogate(in ShareGroupHeartbeatSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        MemberId = surrogate.MemberId,
        MemberEpoch = surrogate.MemberEpoch,
        RackId = surrogate.RackId,
        SubscribedTopicNames = surrogate.SubscribedTopicNames,
        ClientId = surrogate.ClientId,
        ClientHost = surrogate.ClientHost,
        Starts = surrogate.Starts ?? [],
        StartsFollow = surrogate.StartsFollow ?? [],
    };

    public ShareGroupHeartbeatSurrogate ConvertToSurrogate(in ShareGroupHeartbeat value) => new()
    {
        GroupId = value.GroupId,
        MemberId = value.MemberId,
        MemberEpoch = value.MemberEpoch,
        RackId = value.RackId,
        SubscribedTopicNames = value.SubscribedTopicNames?.ToArray(),
        ClientId = value.ClientId,
        ClientHost = value.ClientHost,
        Starts = [.. value.Starts],
        StartsFollow = [.. value.StartsFollow],
    };
}

/// <summary>The wire form of <see cref="ShareGroupHeartbeatResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ShareGroupHeartbeatResult.1")]
internal struct ShareGroupHeartbeatResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public string? Message;
    [Id(2)] public string? MemberId;
    [Id(3)] public int MemberEpoch;
    [Id(4)] public TimeSpan HeartbeatInterval;
    [Id(5)] public TopicPartitions[]? Assignment;
    [Id(6)] public TopicPartitions[]? Unstarted;
    [Id(7)] public Guid[]? NewTopics;
}

[RegisterConverter]
internal sealed class ShareGroupHeartbeatResultConverter : IConverter<ShareGroupHeartbeatResult, ShareGroupHeartbeatResultSurrogate>
{
    public ShareGroupHeartbeatResult ConvertFromSurrogate(in ShareGroupHeartbeatResultSurrogate surrogate) => new()
    {
        Error = (ErrorCode)surrogate.Error,
        Message = surrogate.Message,
        MemberId = surrogate.MemberId,
        MemberEpoch = surrogate.MemberEpoch,
        HeartbeatInterval = surrogate.HeartbeatInterval,
        Assignment = surrogate.Assignment,
        Unstarted = surrogate.Unstarted ?? [],
        NewTopics = surrogate.NewTopics ?? [],
    };

    public ShareGroupHeartbeatResultSurrogate ConvertToSurrogate(in ShareGroupHeartbeatResult value) => new()
    {
        Error = (short)value.Error,
        Message = value.Message,
        MemberId = value.MemberId,
        MemberEpoch = value.MemberEpoch,
        HeartbeatInterval = value.HeartbeatInterval,
        Assignment = value.Assignment?.ToArray(),
        Unstarted = [.. value.Unstarted],
        NewTopics = [.. value.NewTopics],
    };
}

/// <summary>The wire form of <see cref="FindShareCursors"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.FindShareCursors.1")]
internal struct FindShareCursorsSurrogate
{
    [Id(0)] public string GroupId;
}

[RegisterConverter]
internal sealed class FindShareCursorsConverter : IConverter<FindShareCursors, FindShareCursorsSurrogate>
{
    public FindShareCursors ConvertFromSurrogate(in FindShareCursorsSurrogate surrogate) => new(surrogate.GroupId);

    public FindShareCursorsSurrogate ConvertToSurrogate(in FindShareCursors value) => new() { GroupId = value.GroupId };
}

/// <summary>The wire form of <see cref="ShareCursorsResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ShareCursorsResult.1")]
internal struct ShareCursorsResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public string? Message;
    [Id(2)] public bool HasMembers;
    [Id(3)] public ShareGroupSetting[] Configs;
    [Id(4)] public ShareTopicCursors[] Topics;
}

[RegisterConverter]
internal sealed class ShareCursorsResultConverter : IConverter<ShareCursorsResult, ShareCursorsResultSurrogate>
{
    public ShareCursorsResult ConvertFromSurrogate(in ShareCursorsResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Message, surrogate.HasMembers, surrogate.Configs, surrogate.Topics);

    public ShareCursorsResultSurrogate ConvertToSurrogate(in ShareCursorsResult value) => new()
    {
        Error = (short)value.Error,
        Message = value.Message,
        HasMembers = value.HasMembers,
        Configs = [.. value.Configs],
        Topics = [.. value.Topics],
    };
}

/// <summary>The wire form of <see cref="ShareGroupSetting"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ShareGroupSetting.1")]
internal struct ShareGroupSettingSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public string? Value;
}

[RegisterConverter]
internal sealed class ShareGroupSettingConverter : IConverter<ShareGroupSetting, ShareGroupSettingSurrogate>
{
    public ShareGroupSetting ConvertFromSurrogate(in ShareGroupSettingSurrogate surrogate) => new(surrogate.Name, surrogate.Value);

    public ShareGroupSettingSurrogate ConvertToSurrogate(in ShareGroupSetting value) => new() { Name = value.Name, Value = value.Value };
}

/// <summary>The wire form of <see cref="ShareTopicCursors"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ShareTopicCursors.1")]
internal struct ShareTopicCursorsSurrogate
{
    [Id(0)] public Guid TopicId;
    [Id(1)] public Guid Incarnation;
    [Id(2)] public int Partitions;
    [Id(3)] public ShareCursorReset[] Resets;
}

[RegisterConverter]
internal sealed class ShareTopicCursorsConverter : IConverter<ShareTopicCursors, ShareTopicCursorsSurrogate>
{
    public ShareTopicCursors ConvertFromSurrogate(in ShareTopicCursorsSurrogate surrogate) =>
        new(surrogate.TopicId, surrogate.Incarnation, surrogate.Partitions, surrogate.Resets);

    public ShareTopicCursorsSurrogate ConvertToSurrogate(in ShareTopicCursors value) => new()
    {
        TopicId = value.TopicId,
        Incarnation = value.Incarnation,
        Partitions = value.Partitions,
        Resets = [.. value.Resets],
    };
}

/// <summary>The wire form of <see cref="ShareCursorReset"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ShareCursorReset.1")]
internal struct ShareCursorResetSurrogate
{
    [Id(0)] public int Partition;
    [Id(1)] public Guid Incarnation;
    [Id(2)] public long StartOffset;
}

[RegisterConverter]
internal sealed class ShareCursorResetConverter : IConverter<ShareCursorReset, ShareCursorResetSurrogate>
{
    public ShareCursorReset ConvertFromSurrogate(in ShareCursorResetSurrogate surrogate) =>
        new(surrogate.Partition, surrogate.Incarnation, surrogate.StartOffset);

    public ShareCursorResetSurrogate ConvertToSurrogate(in ShareCursorReset value) => new()
    {
        Partition = value.Partition,
        Incarnation = value.Incarnation,
        StartOffset = value.StartOffset,
    };
}

/// <summary>The wire form of <see cref="AlterShareGroup"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.AlterShareGroup.1")]
internal struct AlterShareGroupSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public ShareGroupSetting[] Configs;
    [Id(2)] public ShareCursorMove[] Moves;
    [Id(3)] public Guid[] DeletedTopics;
}

[RegisterConverter]
internal sealed class AlterShareGroupConverter : IConverter<AlterShareGroup, AlterShareGroupSurrogate>
{
    public AlterShareGroup ConvertFromSurrogate(in AlterShareGroupSurrogate surrogate) => new(surrogate.GroupId)
    {
        Configs = surrogate.Configs,
        Moves = surrogate.Moves,
        DeletedTopics = surrogate.DeletedTopics,
    };

    public AlterShareGroupSurrogate ConvertToSurrogate(in AlterShareGroup value) => new()
    {
        GroupId = value.GroupId,
        Configs = [.. value.Configs],
        Moves = [.. value.Moves],
        DeletedTopics = [.. value.DeletedTopics],
    };
}

/// <summary>The wire form of <see cref="ShareCursorMove"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ShareCursorMove.1")]
internal struct ShareCursorMoveSurrogate
{
    [Id(0)] public Guid TopicId;
    [Id(1)] public int Partition;
    [Id(2)] public long StartOffset;
}

[RegisterConverter]
internal sealed class ShareCursorMoveConverter : IConverter<ShareCursorMove, ShareCursorMoveSurrogate>
{
    public ShareCursorMove ConvertFromSurrogate(in ShareCursorMoveSurrogate surrogate) =>
        new(surrogate.TopicId, surrogate.Partition, surrogate.StartOffset);

    public ShareCursorMoveSurrogate ConvertToSurrogate(in ShareCursorMove value) => new()
    {
        TopicId = value.TopicId,
        Partition = value.Partition,
        StartOffset = value.StartOffset,
    };
}
