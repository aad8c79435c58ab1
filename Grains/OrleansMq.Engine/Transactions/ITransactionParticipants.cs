using OrleansMq.Api;
using OrleansMq.Producers;

namespace OrleansMq.Transactions;

/// <summary>What a participant says to the end of a transaction.</summary>
internal enum ParticipantOutcome
{
    /// <summary>Nothing, or nothing yet: it is to be told again.</summary>
    Retry = 0,
    /// <summary>It knows, or there is nothing to know any more: its topic was deleted, or its producer has a later epoch there.</summary>
    Done = 1,
    /// <summary>It knows a higher epoch of a coordinator.</summary>
    Fenced = 2,
}

/// <summary>The end of a transaction, as its participants are told.</summary>
/// <param name="Producer">The producer, with the epoch of the marker.</param>
/// <param name="Number">The transaction's number.</param>
/// <param name="CoordinatorEpoch">The coordinator's epoch.</param>
/// <param name="IsCommit">Whether it is committed.</param>
/// <param name="RaisesEpoch">Whether the epoch is above that of the transaction's batches.</param>
internal readonly record struct TransactionEnd(ProducerIdentity Producer, long Number, int CoordinatorEpoch, bool IsCommit,
    bool RaisesEpoch)
{
    /// <summary>The marker in a partition's log.</summary>
    public TransactionMarker Marker => new(IsCommit, CoordinatorEpoch, Number);
}

/// <summary>The partitions and groups that a transaction's coordinator tells of its end. A call may be repeated, come late, or go on after
/// its caller has given up. Thread safe.</summary>
internal interface ITransactionParticipants
{
    /// <summary>Writes the marker into a partition; done when it is below the high watermark.</summary>
    Task<ParticipantOutcome> EndAsync(TransactionPartition partition, TransactionEnd end, CancellationToken cancellationToken);

    /// <summary>Ends the transaction in a group; done when its offsets count.</summary>
    Task<ParticipantOutcome> EndAsync(string groupId, TransactionEnd end, CancellationToken cancellationToken);
}

/// <summary>Outcomes by the errors of partitions and groups.</summary>
internal static class ParticipantOutcomes
{
    /// <summary>The end as a group is told.</summary>
    public static EndTransactionOffsets ForGroup(string groupId, in TransactionEnd end) => new()
    {
        GroupId = groupId,
        Producer = end.Producer,
        Number = end.Number,
        CoordinatorEpoch = end.CoordinatorEpoch,
        IsCommit = end.IsCommit,
    };

    /// <summary>What an error of a participant means. A later epoch of the producer shows that the transaction has ended there. There is
    /// no group whose id cannot be one: earlier versions stored such ids.</summary>
    public static ParticipantOutcome Of(ErrorCode error) => error switch
    {
        ErrorCode.None or ErrorCode.InvalidProducerEpoch or ErrorCode.InvalidGroupId => ParticipantOutcome.Done,
        ErrorCode.TransactionCoordinatorFenced => ParticipantOutcome.Fenced,
        _ => ParticipantOutcome.Retry,
    };
}
