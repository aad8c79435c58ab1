using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="GroupListing"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.GroupListing.1")]
internal struct GroupListingSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public string ProtocolType;
    [Id(2)] public int State;
    [Id(3)] public int Type;
}

[RegisterConverter]
internal sealed class GroupListingConverter : IConverter<GroupListing, GroupListingSurrogate>
{
    public GroupListing ConvertFromSurrogate(in GroupListingSurrogate surrogate) =>
        new(surrogate.GroupId, surrogate.ProtocolType, (GroupState)surrogate.State, (GroupType)surrogate.Type);

    public GroupListingSurrogate ConvertToSurrogate(in GroupListing value) => new()
    {
        GroupId = value.GroupId,
        ProtocolType = value.ProtocolType,
        State = (int)value.State,
        Type = (int)value.Type,
    };
}

/// <summary>The wire form of <see cref="GroupDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.GroupDescription.1")]
internal struct GroupDescriptionSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public int Type;
    [Id(2)] public int State;
    [Id(3)] public string ProtocolType;
    [Id(4)] public string Protocol;
    [Id(5)] public int Epoch;
    [Id(6)] public int AssignmentEpoch;
    [Id(7)] public int Coordinator;
    [Id(8)] public GroupMember[] Members;
}

[RegisterConverter]
internal sealed class GroupDescriptionConverter : IConverter<GroupDescription, GroupDescriptionSurrogate>
{
    public GroupDescription ConvertFromSurrogate(in GroupDescriptionSurrogate surrogate) =>
        new(surrogate.GroupId, (GroupType)surrogate.Type, (GroupState)surrogate.State, surrogate.ProtocolType, surrogate.Protocol,
            surrogate.Epoch,
        surrogate.AssignmentEpoch, surrogate.Coordinator, surrogate.Members);

    public GroupDescriptionSurrogate ConvertToSurrogate(in GroupDescription value) => new()
    {
        GroupId = value.GroupId,
        Type = (int)value.Type,
        State = (int)value.State,
        ProtocolType = value.ProtocolType,
        Protocol = value.Protocol,
        Epoch = value.Epoch,
        AssignmentEpoch = value.AssignmentEpoch,
        Coordinator = value.Coordinator,
        Members = [.. value.Members],
    };
}

/// <summary>The wire form of <see cref="GroupMember"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.GroupMember.1")]
internal struct GroupMemberSurrogate
{
    [Id(0)] public string MemberId;
    [Id(1)] public string? GroupInstanceId;
    [Id(2)] public string? RackId;
    [Id(3)] public string ClientId;
    [Id(4)] public string ClientHost;
    [Id(5)] public int MemberEpoch;
    [Id(6)] public string[] SubscribedTopicNames;
    [Id(7)] public string? SubscribedTopicRegex;
    [Id(8)] public TopicPartition[] Assignment;
    [Id(9)] public TopicPartition[] TargetAssignment;
    [Id(10)] public ReadOnlyMemory<byte> ClassicMetadata;
    [Id(11)] public ReadOnlyMemory<byte> ClassicAssignment;
    [Id(12)] public int Type;
}

[RegisterConverter]
internal sealed class GroupMemberConverter : IConverter<GroupMember, GroupMemberSurrogate>
{
    public GroupMember ConvertFromSurrogate(in GroupMemberSurrogate surrogate) => new()
    {
        MemberId = surrogate.MemberId,
        GroupInstanceId = surrogate.GroupInstanceId,
        RackId = surrogate.RackId,
        ClientId = surrogate.ClientId,
        ClientHost = surrogate.ClientHost,
        MemberEpoch = surrogate.MemberEpoch,
        SubscribedTopicNames = surrogate.SubscribedTopicNames,
        SubscribedTopicRegex = surrogate.SubscribedTopicRegex,
        Assignment = surrogate.Assignment,
        TargetAssignment = surrogate.TargetAssignment,
        ClassicMetadata = surrogate.ClassicMetadata,
        ClassicAssignment = surrogate.ClassicAssignment,
        Type = (GroupType)surrogate.Type,
    };

    public GroupMemberSurrogate ConvertToSurrogate(in GroupMember value) => new()
    {
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        RackId = value.RackId,
        ClientId = value.ClientId,
        ClientHost = value.ClientHost,
        MemberEpoch = value.MemberEpoch,
        SubscribedTopicNames = [.. value.SubscribedTopicNames],
        SubscribedTopicRegex = value.SubscribedTopicRegex,
        Assignment = [.. value.Assignment],
        TargetAssignment = [.. value.TargetAssignment],
        ClassicMetadata = value.ClassicMetadata,
        ClassicAssignment = value.ClassicAssignment,
        Type = (int)value.Type,
    };
}
