using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="TransactionOffsetCommit"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TransactionOffsetCommit.1")]
internal struct TransactionOffsetCommitSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public string TransactionalId;
    [Id(2)] public ProducerIdentity Producer;
    [Id(3)] public long Number;
    [Id(4)] public int GenerationIdOrMemberEpoch;
    [Id(5)] public string MemberId;
    [Id(6)] public string? GroupInstanceId;
    [Id(7)] public PartitionOffset[] Offsets;
}

[RegisterConverter]
internal sealed class TransactionOffsetCommitConverter : IConverter<TransactionOffsetCommit, TransactionOffsetCommitSurrogate>
{
    public TransactionOffsetCommit ConvertFromSurrogate(in TransactionOffsetCommitSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        TransactionalId = surrogate.TransactionalId,
        Producer = surrogate.Producer,
        Number = surrogate.Number,
        GenerationIdOrMemberEpoch = surrogate.GenerationIdOrMemberEpoch,
        MemberId = surrogate.MemberId,
        GroupInstanceId = surrogate.GroupInstanceId,
        Offsets = surrogate.Offsets,
    };

    public TransactionOffsetCommitSurrogate ConvertToSurrogate(in TransactionOffsetCommit value) => new()
    {
        GroupId = value.GroupId,
        TransactionalId = value.TransactionalId,
        Producer = value.Producer,
        Number = value.Number,
        GenerationIdOrMemberEpoch = value.GenerationIdOrMemberEpoch,
        MemberId = value.MemberId,
        GroupInstanceId = value.GroupInstanceId,
        Offsets = [.. value.Offsets],
    };
}

/// <summary>The wire form of <see cref="EndTransactionOffsets"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.EndTransactionOffsets.1")]
internal struct EndTransactionOffsetsSurrogate
{
    [Id(0)] public string GroupId;
    [Id(1)] public ProducerIdentity Producer;
    [Id(2)] public long Number;
    [Id(3)] public int CoordinatorEpoch;
    [Id(4)] public bool IsCommit;
}

[RegisterConverter]
internal sealed class EndTransactionOffsetsConverter : IConverter<EndTransactionOffsets, EndTransactionOffsetsSurrogate>
{
    public EndTransactionOffsets ConvertFromSurrogate(in EndTransactionOffsetsSurrogate surrogate) => new()
    {
        GroupId = surrogate.GroupId,
        Producer = surrogate.Producer,
        Number = surrogate.Number,
        CoordinatorEpoch = surrogate.CoordinatorEpoch,
        IsCommit = surrogate.IsCommit,
    };

    public EndTransactionOffsetsSurrogate ConvertToSurrogate(in EndTransactionOffsets value) => new()
    {
        GroupId = value.GroupId,
        Producer = value.Producer,
        Number = value.Number,
        CoordinatorEpoch = value.CoordinatorEpoch,
        IsCommit = value.IsCommit,
    };
}
