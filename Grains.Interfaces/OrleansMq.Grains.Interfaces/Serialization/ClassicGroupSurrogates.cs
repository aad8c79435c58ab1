using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="GroupProtocol"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.GroupProtocol.1")]
internal struct GroupProtocolSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public ReadOnlyMemory<byte> Metadata;
}

[RegisterConverter]
internal sealed class GroupProtocolConverter : IConverter<GroupProtocol, GroupProtocolSurrogate>
{
    public GroupProtocol ConvertFromSurrogate(in GroupProtocolSurrogate surrogate) =>
        new(surrogate.Name, surrogate.Metadata);

    public GroupProtocolSurrogate ConvertToSurrogate(in GroupProtocol value) => new()
    {
        Name = value.Name,
        Metadata = value.Metadata,
    };
}

/// <summary>The wire form of <see cref="JoinGroup"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.JoinGroup.1")]
internal struct JoinGroupSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public string MemberId;
    [Id(2)] public string? GroupInstanceId;
    [Id(3)] public string ClientId;
    [Id(4)] public string ClientHost;
    [Id(5)] public TimeSpan SessionTimeout;
    [Id(6)] public TimeSpan RebalanceTimeout;
    [Id(7)] public string ProtocolType;
    [Id(8)] public GroupProtocol[] Protocols;
    [Id(9)] public bool RequireKnownMemberId;
    [Id(10)] public bool SupportsSkippingAssignment;
    [Id(11)] public string? Reason;
}

[RegisterConverter]
internal sealed class JoinGroupConverter : IConverter<JoinGroup, JoinGroupSurrogate>
{
    public JoinGroup ConvertFromSurrogate(in JoinGroupSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        MemberId = surrogate.MemberId,
        GroupInstanceId = surrogate.GroupInstanceId,
        ClientId = surrogate.ClientId,
        ClientHost = surrogate.ClientHost,
        SessionTimeout = surrogate.SessionTimeout,
        RebalanceTimeout = surrogate.RebalanceTimeout,
        ProtocolType = surrogate.ProtocolType,
        Protocols = surrogate.Protocols,
        RequireKnownMemberId = surrogate.RequireKnownMemberId,
        SupportsSkippingAssignment = surrogate.SupportsSkippingAssignment,
        Reason = surrogate.Reason,
    };

    public JoinGroupSurrogate ConvertToSurrogate(in JoinGroup value) => new()
    {
        GroupId = value.GroupId,
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        ClientId = value.ClientId,
        ClientHost = value.ClientHost,
        SessionTimeout = value.SessionTimeout,
        RebalanceTimeout = value.RebalanceTimeout,
        ProtocolType = value.ProtocolType,
        Protocols = [.. value.Protocols],
        RequireKnownMemberId = value.RequireKnownMemberId,
        SupportsSkippingAssignment = value.SupportsSkippingAssignment,
        Reason = value.Reason,
    };
}

/// <summary>The wire form of <see cref="JoinGroupResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.JoinGroupResult.1")]
internal struct JoinGroupResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public string? Message;
    [Id(2)] public int GenerationId;
    [Id(3)] public string? ProtocolType;
    [Id(4)] public string? ProtocolName;
    [Id(5)] public string Leader;
    [Id(6)] public bool SkipAssignment;
    [Id(7)] public string MemberId;
    [Id(8)] public JoinedMember[] Members;
}

[RegisterConverter]
internal sealed class JoinGroupResultConverter : IConverter<JoinGroupResult, JoinGroupResultSurrogate>
{
    public JoinGroupResult ConvertFromSurrogate(in JoinGroupResultSurrogate surrogate) => new()
    {
        Error = (ErrorCode)surrogate.Error,
        Message = surrogate.Message,
        GenerationId = surrogate.GenerationId,
        ProtocolType = surrogate.ProtocolType,
        ProtocolName = surrogate.ProtocolName,
        Leader = surrogate.Leader,
        SkipAssignment = surrogate.SkipAssignment,
        MemberId = surrogate.MemberId,
        Members = surrogate.Members,
    };

    public JoinGroupResultSurrogate ConvertToSurrogate(in JoinGroupResult value) => new()
    {
        Error = (short)value.Error,
        Message = value.Message,
        GenerationId = value.GenerationId,
        ProtocolType = value.ProtocolType,
        ProtocolName = value.ProtocolName,
        Leader = value.Leader,
        SkipAssignment = value.SkipAssignment,
        MemberId = value.MemberId,
        Members = [.. value.Members],
    };
}

/// <summary>The wire form of <see cref="JoinedMember"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.JoinedMember.1")]
internal struct JoinedMemberSurrogate
{
    [Id(0)] public string MemberId;
    [Id(1)] public string? GroupInstanceId;
    [Id(2)] public ReadOnlyMemory<byte> Metadata;
}

[RegisterConverter]
internal sealed class JoinedMemberConverter : IConverter<JoinedMember, JoinedMemberSurrogate>
{
    public JoinedMember ConvertFromSurrogate(in JoinedMemberSurrogate surrogate) =>
        new(surrogate.MemberId, surrogate.GroupInstanceId, surrogate.Metadata);

    public JoinedMemberSurrogate ConvertToSurrogate(in JoinedMember value) => new()
    {
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        Metadata = value.Metadata,
    };
}

/// <summary>The wire form of <see cref="SyncGroup"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.SyncGroup.1")]
internal struct SyncGroupSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public int GenerationId;
    [Id(2)] public string MemberId;
    [Id(3)] public string? GroupInstanceId;
    [Id(4)] public string? ProtocolType;
    [Id(5)] public string? ProtocolName;
    [Id(6)] public MemberAssignment[] Assignments;
}

[RegisterConverter]
internal sealed class SyncGroupConverter : IConverter<SyncGroup, SyncGroupSurrogate>
{
    public SyncGroup ConvertFromSurrogate(in SyncGroupSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        GenerationId = surrogate.GenerationId,
        MemberId = surrogate.MemberId,
        GroupInstanceId = surrogate.GroupInstanceId,
        ProtocolType = surrogate.ProtocolType,
        ProtocolName = surrogate.ProtocolName,
        Assignments = surrogate.Assignments,
    };

    public SyncGroupSurrogate ConvertToSurrogate(in SyncGroup value) => new()
    {
        GroupId = value.GroupId,
        GenerationId = value.GenerationId,
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        ProtocolType = value.ProtocolType,
        ProtocolName = value.ProtocolName,
        Assignments = [.. value.Assignments],
    };
}

/// <summary>The wire form of <see cref="MemberAssignment"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.MemberAssignment.1")]
internal struct MemberAssignmentSurrogate
{
    [Id(0)] public string MemberId;
    [Id(1)] public ReadOnlyMemory<byte> Assignment;
}

[RegisterConverter]
internal sealed class MemberAssignmentConverter : IConverter<MemberAssignment, MemberAssignmentSurrogate>
{
    public MemberAssignment ConvertFromSurrogate(in MemberAssignmentSurrogate surrogate) =>
        new(surrogate.MemberId, surrogate.Assignment);

    public MemberAssignmentSurrogate ConvertToSurrogate(in MemberAssignment value) => new()
    {
        MemberId = value.MemberId,
        Assignment = value.Assignment,
    };
}

/// <summary>The wire form of <see cref="SyncGroupResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.SyncGroupResult.1")]
internal struct SyncGroupResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public string? Message;
    [Id(2)] public string? ProtocolType;
    [Id(3)] public string? ProtocolName;
    [Id(4)] public ReadOnlyMemory<byte> Assignment;
}

[RegisterConverter]
internal sealed class SyncGroupResultConverter : IConverter<SyncGroupResult, SyncGroupResultSurrogate>
{
    public SyncGroupResult ConvertFromSurrogate(in SyncGroupResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Message, surrogate.ProtocolType, surrogate.ProtocolName, surrogate.Assignment);

    public SyncGroupResultSurrogate ConvertToSurrogate(in SyncGroupResult value) => new()
    {
        Error = (short)value.Error,
        Message = value.Message,
        ProtocolType = value.ProtocolType,
        ProtocolName = value.ProtocolName,
        Assignment = value.Assignment,
    };
}
