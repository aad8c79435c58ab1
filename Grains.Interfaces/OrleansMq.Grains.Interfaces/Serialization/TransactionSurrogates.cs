using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="TransactionCaller"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TransactionCaller.1")]
internal struct TransactionCallerSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public int BrokerId;
    [Id(2)] public long Connection;
    [Id(3)] public long Sequence;
}

[RegisterConverter]
internal sealed class TransactionCallerConverter : IConverter<TransactionCaller, TransactionCallerSurrogate>
{
    public TransactionCaller ConvertFromSurrogate(in TransactionCallerSurrogate surrogate) =>
        new(surrogate.Name, surrogate.BrokerId, surrogate.Connection, surrogate.Sequence);

    public TransactionCallerSurrogate ConvertToSurrogate(in TransactionCaller value) => new()
    {
        Name = value.Name,
        BrokerId = value.BrokerId,
        Connection = value.Connection,
        Sequence = value.Sequence,
    };
}

/// <summary>The wire form of <see cref="TransactionPartition"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TransactionPartition.1")]
internal struct TransactionPartitionSurrogate
{
    [Id(0)] public string Topic;
    [Id(1)] public int Partition;
    [Id(2)] public Guid TopicId;
}

[RegisterConverter]
internal sealed class TransactionPartitionConverter : IConverter<TransactionPartition, TransactionPartitionSurrogate>
{
    public TransactionPartition ConvertFromSurrogate(in TransactionPartitionSurrogate surrogate) =>
        new(surrogate.Topic, surrogate.Partition, surrogate.TopicId);

    public TransactionPartitionSurrogate ConvertToSurrogate(in TransactionPartition value) => new()
    {
        Topic = value.Topic,
        Partition = value.Partition,
        TopicId = value.TopicId,
    };
}

/// <summary>The wire form of <see cref="TransactionReply"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TransactionReply.1")]
internal struct TransactionReplySurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public string Message;
}

[RegisterConverter]
internal sealed class TransactionReplyConverter : IConverter<TransactionReply, TransactionReplySurrogate>
{
    public TransactionReply ConvertFromSurrogate(in TransactionReplySurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Message);

    public TransactionReplySurrogate ConvertToSurrogate(in TransactionReply value) =>
        new() { Error = (short)value.Error, Message = value.Message };
}

/// <summary>The wire form of <see cref="InitTransactions"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.InitTransactions.1")]
internal struct InitTransactionsSurrogate
{
    [Id(0)] public string TransactionalId;
    [Id(1)] public TimeSpan Timeout;
    [Id(2)] public ProducerIdentity? Current;
    [Id(3)] public TransactionCaller Caller;
    [Id(4)] public Guid RequestId;
}

[RegisterConverter]
internal sealed class InitTransactionsConverter : IConverter<InitTransactions, InitTransactionsSurrogate>
{
    public InitTransactions ConvertFromSurrogate(in InitTransactionsSurrogate surrogate) => new()
    {
        TransactionalId = surrogate.TransactionalId,
        Timeout = surrogate.Timeout,
        Current = surrogate.Current,
        Caller = surrogate.Caller,
        RequestId = surrogate.RequestId,
    };

    public InitTransactionsSurrogate ConvertToSurrogate(in InitTransactions value) => new()
    {
        TransactionalId = value.TransactionalId,
        Timeout = value.Timeout,
        Current = value.Current,
        Caller = value.Caller,
        RequestId = value.RequestId,
    };
}

/// <summary>The wire form of <see cref="InitTransactionsResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.InitTransactionsResult.1")]
internal struct InitTransactionsResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public ProducerIdentity Producer;
    [Id(2)] public string? Message;
}

[RegisterConverter]
internal sealed class InitTransactionsResultConverter : IConverter<InitTransactionsResult, InitTransactionsResultSurrogate>
{
    public InitTransactionsResult ConvertFromSurrogate(in InitTransactionsResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Producer, surrogate.Message);

    public InitTransactionsResultSurrogate ConvertToSurrogate(in InitTransactionsResult value) => new()
    {
        Error = (short)value.Error,
        Producer = value.Producer,
        Message = value.Message,
    };
}

/// <summary>The wire form of <see cref="AddToTransaction"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.AddToTransaction.1")]
internal struct AddToTransactionSurrogate
{
    [Id(0)] public string TransactionalId;
    [Id(1)] public ProducerIdentity Producer;
    [Id(2)] public TransactionPartition[] Partitions;
    [Id(3)] public string[] Groups;
    [Id(4)] public bool VerifyOnly;
    [Id(5)] public bool RaisesEpoch;
    [Id(6)] public TransactionCaller Caller;
}

[RegisterConverter]
internal sealed class AddToTransactionConverter : IConverter<AddToTransaction, AddToTransactionSurrogate>
{
    public AddToTransaction ConvertFromSurrogate(in AddToTransactionSurrogate surrogate) => new()
    {
        TransactionalId = surrogate.TransactionalId,
        Producer = surrogate.Producer,
        Partitions = surrogate.Partitions,
        Groups = surrogate.Groups,
        VerifyOnly = surrogate.VerifyOnly,
        RaisesEpoch = surrogate.RaisesEpoch,
        Caller = surrogate.Caller,
    };

    public AddToTransactionSurrogate ConvertToSurrogate(in AddToTransaction value) => new()
    {
        TransactionalId = value.TransactionalId,
        Producer = value.Producer,
        Partitions = [.. value.Partitions],
        Groups = [.. value.Groups],
        VerifyOnly = value.VerifyOnly,
        RaisesEpoch = value.RaisesEpoch,
        Caller = value.Caller,
    };
}

/// <summary>The wire form of <see cref="AddToTransactionResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.AddToTransactionResult.1")]
internal struct AddToTransactionResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public long Number;
    [Id(2)] public string? Message;
}

[RegisterConverter]
internal sealed class AddToTransactionResultConverter : IConverter<AddToTransactionResult, AddToTransactionResultSurrogate>
{
    public AddToTransactionResult ConvertFromSurrogate(in AddToTransactionResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Number, surrogate.Message);

    public AddToTransactionResultSurrogate ConvertToSurrogate(in AddToTransactionResult value) => new()
    {
        Error = (short)value.Error,
        Number = value.Number,
        Message = value.Message,
    };
}

/// <summary>The wire form of <see cref="EndTransaction"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.EndTransaction.1")]
internal struct EndTransactionSurrogate
{
    [Id(0)] public string TransactionalId;
    [Id(1)] public ProducerIdentity Producer;
    [Id(2)] public bool IsCommit;
    [Id(3)] public bool RaisesEpoch;
    [Id(4)] public bool WaitsForMarkers;
    [Id(5)] public TransactionCaller Caller;
    [Id(6)] public long Number;
}

[RegisterConverter]
internal sealed class EndTransactionConverter : IConverter<EndTransaction, EndTransactionSurrogate>
{
    public EndTransaction ConvertFromSurrogate(in EndTransactionSurrogate surrogate) => new()
    {
        TransactionalId = surrogate.TransactionalId,
        Producer = surrogate.Producer,
        IsCommit = surrogate.IsCommit,
        RaisesEpoch = surrogate.RaisesEpoch,
        WaitsForMarkers = surrogate.WaitsForMarkers,
        Caller = surrogate.Caller,
        Number = surrogate.Number,
    };

    public EndTransactionSurrogate ConvertToSurrogate(in EndTransaction value) => new()
    {
        TransactionalId = value.TransactionalId,
        Producer = value.Producer,
        IsCommit = value.IsCommit,
        RaisesEpoch = value.RaisesEpoch,
        WaitsForMarkers = value.WaitsForMarkers,
        Caller = value.Caller,
        Number = value.Number,
    };
}

/// <summary>The wire form of <see cref="EndTransactionResult"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.EndTransactionResult.1")]
internal struct EndTransactionResultSurrogate
{
    [Id(0)] public short Error;
    [Id(1)] public ProducerIdentity Producer;
    [Id(2)] public string? Message;
}

[RegisterConverter]
internal sealed class EndTransactionResultConverter : IConverter<EndTransactionResult, EndTransactionResultSurrogate>
{
    public EndTransactionResult ConvertFromSurrogate(in EndTransactionResultSurrogate surrogate) =>
        new((ErrorCode)surrogate.Error, surrogate.Producer, surrogate.Message);

    public EndTransactionResultSurrogate ConvertToSurrogate(in EndTransactionResult value) => new()
    {
        Error = (short)value.Error,
        Producer = value.Producer,
        Message = value.Message,
    };
}

/// <summary>The wire form of <see cref="AbortTransaction"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.AbortTransaction.1")]
internal struct AbortTransactionSurrogate
{
    [Id(0)] public string TransactionalId;
    [Id(1)] public TransactionCaller Caller;
    [Id(2)] public long Number;
}

[RegisterConverter]
internal sealed class AbortTransactionConverter : IConverter<AbortTransaction, AbortTransactionSurrogate>
{
    public AbortTransaction ConvertFromSurrogate(in AbortTransactionSurrogate surrogate) =>
        new(surrogate.TransactionalId, surrogate.Caller, surrogate.Number);

    public AbortTransactionSurrogate ConvertToSurrogate(in AbortTransaction value) =>
        new() { TransactionalId = value.TransactionalId, Caller = value.Caller, Number = value.Number };
}

/// <summary>The wire form of <see cref="DescribeTransaction"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.DescribeTransaction.1")]
internal struct DescribeTransactionSurrogate
{
    [Id(0)] public string TransactionalId;
}

[RegisterConverter]
internal sealed class DescribeTransactionConverter : IConverter<DescribeTransaction, DescribeTransactionSurrogate>
{
    public DescribeTransaction ConvertFromSurrogate(in DescribeTransactionSurrogate surrogate) =>
        new(surrogate.TransactionalId);

    public DescribeTransactionSurrogate ConvertToSurrogate(in DescribeTransaction value) =>
        new() { TransactionalId = value.TransactionalId };
}

/// <summary>The wire form of <see cref="TransactionDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TransactionDescription.1")]
internal struct TransactionDescriptionSurrogate
{
    [Id(0)] public string TransactionalId;
    [Id(1)] public int Coordinator;
    [Id(2)] public int Phase;
    [Id(3)] public ProducerIdentity Producer;
    [Id(4)] public TimeSpan Timeout;
    [Id(5)] public DateTimeOffset? StartedAt;
    [Id(6)] public long Number;
    [Id(7)] public TransactionPartition[] Partitions;
    [Id(8)] public string[] Groups;
    [Id(9)] public string? LastEnd;
    [Id(10)] public string? LastFence;
}

[RegisterConverter]
internal sealed class TransactionDescriptionConverter : IConverter<TransactionDescription, TransactionDescriptionSurrogate>
{
    public TransactionDescription ConvertFromSurrogate(in TransactionDescriptionSurrogate surrogate) => new()
    {
        TransactionalId = surrogate.TransactionalId,
        Coordinator = surrogate.Coordinator,
        Phase = (TransactionPhase)surrogate.Phase,
        Producer = surrogate.Producer,
        Timeout = surrogate.Timeout,
        StartedAt = surrogate.StartedAt,
        Number = surrogate.Number,
        Partitions = surrogate.Partitions,
        Groups = surrogate.Groups,
        LastEnd = surrogate.LastEnd,
        LastFence = surrogate.LastFence,
    };

    public TransactionDescriptionSurrogate ConvertToSurrogate(in TransactionDescription value) => new()
    {
        TransactionalId = value.TransactionalId,
        Coordinator = value.Coordinator,
        Phase = (int)value.Phase,
        Producer = value.Producer,
        Timeout = value.Timeout,
        StartedAt = value.StartedAt,
        Number = value.Number,
        Partitions = [.. value.Partitions],
        Groups = [.. value.Groups],
        LastEnd = value.LastEnd,
        LastFence = value.LastFence,
    };
}

/// <summary>The wire form of <see cref="TransactionListing"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TransactionListing.1")]
internal struct TransactionListingSurrogate
{
    [Id(0)] public string TransactionalId;
    [Id(1)] public long ProducerId;
    [Id(2)] public int Phase;
    [Id(3)] public DateTimeOffset? StartedAt;
}

[RegisterConverter]
internal sealed class TransactionListingConverter : IConverter<TransactionListing, TransactionListingSurrogate>
{
    public TransactionListing ConvertFromSurrogate(in TransactionListingSurrogate surrogate) =>
        new(surrogate.TransactionalId, surrogate.ProducerId, (TransactionPhase)surrogate.Phase, surrogate.StartedAt);

    public TransactionListingSurrogate ConvertToSurrogate(in TransactionListing value) => new()
    {
        TransactionalId = value.TransactionalId,
        ProducerId = value.ProducerId,
        Phase = (int)value.Phase,
        StartedAt = value.StartedAt,
    };
}
