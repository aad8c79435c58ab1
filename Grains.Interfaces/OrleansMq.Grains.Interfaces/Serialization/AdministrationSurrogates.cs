using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="PartitionReassignment"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.PartitionReassignment.1")]
internal struct PartitionReassignmentSurrogate
{
    [Id(0)] public string Topic;
    [Id(1)] public int Partition;
    [Id(2)] public int[] Target;
    [Id(3)] public int[] Replicas;
    [Id(4)] public int[] Adding;
    [Id(5)] public int[] Removing;
}

[RegisterConverter]
internal sealed class PartitionReassignmentConverter : IConverter<PartitionReassignment, PartitionReassignmentSurrogate>
{
    public PartitionReassignment ConvertFromSurrogate(in PartitionReassignmentSurrogate surrogate) =>
        new(surrogate.Topic, surrogate.Partition, surrogate.Target, surrogate.Replicas, surrogate.Adding,
            surrogate.Removing);

    public PartitionReassignmentSurrogate ConvertToSurrogate(in PartitionReassignment value) => new()
    {
        Topic = value.Topic,
        Partition = value.Partition,
        Target = [.. value.Target],
        Replicas = [.. value.Replicas],
        Adding = [.. value.Adding],
        Removing = [.. value.Removing],
    };
}

/// <summary>The wire form of <see cref="LeaderElection"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.LeaderElection.1")]
internal struct LeaderElectionSurrogate
{
    [Id(0)] public string Topic;
    [Id(1)] public int Partition;
    [Id(2)] public int Leader;
    [Id(3)] public short Error;
    [Id(4)] public string? Message;
}

[RegisterConverter]
internal sealed class LeaderElectionConverter : IConverter<LeaderElection, LeaderElectionSurrogate>
{
    public LeaderElection ConvertFromSurrogate(in LeaderElectionSurrogate surrogate) =>
        new(surrogate.Topic, surrogate.Partition, surrogate.Leader, (ErrorCode)surrogate.Error, surrogate.Message);

    public LeaderElectionSurrogate ConvertToSurrogate(in LeaderElection value) => new()
    {
        Topic = value.Topic,
        Partition = value.Partition,
        Leader = value.Leader,
        Error = (short)value.Error,
        Message = value.Message,
    };
}
