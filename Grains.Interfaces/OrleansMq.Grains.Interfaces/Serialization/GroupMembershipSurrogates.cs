using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="Heartbeat"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.Heartbeat.1")]
internal struct HeartbeatSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public int GenerationId;
    [Id(2)] public string MemberId;
    [Id(3)] public string? GroupInstanceId;
}

[RegisterConverter]
internal sealed class HeartbeatConverter : IConverter<Heartbeat, HeartbeatSurrogate>
{
    public Heartbeat ConvertFromSurrogate(in HeartbeatSurrogate surrogate) =>
        new(surrogate.GroupId, surrogate.GenerationId, surrogate.MemberId, surrogate.GroupInstanceId);

    public HeartbeatSurrogate ConvertToSurrogate(in Heartbeat value) => new()
    {
        GroupId = value.GroupId,
        GenerationId = value.GenerationId,
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
    };
}

/// <summary>The wire form of <see cref="GroupReply"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.GroupReply.1")]
internal struct GroupReplySurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public string? Message;
}

[RegisterConverter]
internal sealed class GroupReplyConverter : IConverter<GroupReply, GroupReplySurrogate>
{
    public GroupReply ConvertFromSurrogate(in GroupReplySurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Message);

    public GroupReplySurrogate ConvertToSurrogate(in GroupReply value) => new()
    {
        Error = (short)value.Error,
        Message = value.Message,
    };
}

/// <summary>The wire form of <see cref="LeaveGroup"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.LeaveGroup.1")]
internal struct LeaveGroupSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public LeavingMember[] Members;
}

[RegisterConverter]
internal sealed class LeaveGroupConverter : IConverter<LeaveGroup, LeaveGroupSurrogate>
{
    public LeaveGroup ConvertFromSurrogate(in LeaveGroupSurrogate surrogate) =>
        new(surrogate.GroupId, surrogate.Members);

    public LeaveGroupSurrogate ConvertToSurrogate(in LeaveGroup value) => new()
    {
        GroupId = value.GroupId,
        Members = [.. value.Members],
    };
}

/// <summary>The wire form of <see cref="LeavingMember"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.LeavingMember.1")]
internal struct LeavingMemberSurrogate
{
    [Id(0)] public string MemberId;
    [Id(1)] public string? GroupInstanceId;
    [Id(2)] public string? Reason;
}

[RegisterConverter]
internal sealed class LeavingMemberConverter : IConverter<LeavingMember, LeavingMemberSurrogate>
{
    public LeavingMember ConvertFromSurrogate(in LeavingMemberSurrogate surrogate) =>
        new(surrogate.MemberId, surrogate.GroupInstanceId, surrogate.Reason);

    public LeavingMemberSurrogate ConvertToSurrogate(in LeavingMember value) => new()
    {
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        Reason = value.Reason,
    };
}

/// <summary>The wire form of <see cref="LeaveGroupResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.LeaveGroupResult.1")]
internal struct LeaveGroupResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public LeftMember[] Members;
    [Id(2)] public string? Message;
}

[RegisterConverter]
internal sealed class LeaveGroupResultConverter : IConverter<LeaveGroupResult, LeaveGroupResultSurrogate>
{
    public LeaveGroupResult ConvertFromSurrogate(in LeaveGroupResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Members, surrogate.Message);

    public LeaveGroupResultSurrogate ConvertToSurrogate(in LeaveGroupResult value) => new()
    {
        Error = (short)value.Error,
        Members = [.. value.Members],
        Message = value.Message,
    };
}

/// <summary>The wire form of <see cref="LeftMember"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.LeftMember.1")]
internal struct LeftMemberSurrogate
{
    [Id(0)] public string MemberId;
    [Id(1)] public string? GroupInstanceId;
    [Id(2)] public short Error;
}

[RegisterConverter]
internal sealed class LeftMemberConverter : IConverter<LeftMember, LeftMemberSurrogate>
{
    public LeftMember ConvertFromSurrogate(in LeftMemberSurrogate surrogate) =>
        new(surrogate.MemberId, surrogate.GroupInstanceId, (ErrorCode)surrogate.Error);

    public LeftMemberSurrogate ConvertToSurrogate(in LeftMember value) => new()
    {
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        Error = (short)value.Error,
    };
}
