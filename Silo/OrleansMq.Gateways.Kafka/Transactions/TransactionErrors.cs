namespace OrleansMq.Gateways.Kafka.Transactions;

/// <summary>
/// Translates what a transaction's coordinator, or a group, says to errors that a version of a request knows, and that its clients do the
/// right thing about. Pure.
/// <code>
/// error                      InitProducerId  AddPartitions  AddOffsets  EndTxn        TxnOffsetCommit  Produce
/// 90 PRODUCER_FENCED         below 4: 47     below 2: 47    below 2: 47 below 2: 47   47               47: a client aborts and goes on
/// 120 TRANSACTION_ABORTABLE  below 5: 48     48             below 4: 48 below 4: 48   below 4: 48      below 11: 48
/// 51 CONCURRENT_TRANSACTIONS 51              51             51          51            51               below 12: 19
/// 14, 15, 16                 as they are     as they are    as they are as they are   below 2: 15 for 14  19: old clients retry it
/// other faults that pass     15              15             15          15            15               19
/// 110, 113 of a member                                                               22
/// anything else              as it is        as it is       as it is    48            as it is         as it is
/// </code>
/// </summary>
internal static class TransactionErrors
{
    /// <summary>An error of InitProducerId.</summary>
    public static ErrorCode OfInit(ErrorCode error, short version) => OfCoordinator(error, fenced: version >= 4, abortable: version >= 5);

    /// <summary>An error of AddPartitionsToTxn in a version for clients.</summary>
    public static ErrorCode OfAddPartitions(ErrorCode error, short version) =>
        OfCoordinator(error, fenced: version >= 2, abortable: false);

    /// <summary>An error of AddOffsetsToTxn.</summary>
    public static ErrorCode OfAddOffsets(ErrorCode error, short version) =>
        OfCoordinator(error, fenced: version >= 2, abortable: version >= 4);

    /// <summary>An error of EndTxn. A client may take an error that it does not know for success, so that the transaction would be lost
    /// without a word.</summary>
    public static ErrorCode OfEnd(ErrorCode error, short version) =>
        OfCoordinator(error, fenced: version >= 2, abortable: version >= 4) switch
        {
            var known and (ErrorCode.None or ErrorCode.CoordinatorLoadInProgress or ErrorCode.CoordinatorNotAvailable
                or ErrorCode.NotCoordinator or ErrorCode.InvalidProducerEpoch or ErrorCode.ProducerFenced or ErrorCode.InvalidTxnState
                or ErrorCode.InvalidProducerIdMapping or ErrorCode.ConcurrentTransactions
                or ErrorCode.TransactionalIdAuthorizationFailed or ErrorCode.TransactionAbortable) => known,
            _ => ErrorCode.InvalidTxnState,
        };

    /// <summary>An error of TxnOffsetCommit, of the coordinator or of the group.</summary>
    public static ErrorCode OfOffsetCommit(ErrorCode error, short version) =>
        OfCoordinator(error, fenced: false, abortable: version >= 4) switch
        {
            // Clients before 2.0 fail at a coordinator that loads.
            ErrorCode.CoordinatorLoadInProgress when version < 2 => ErrorCode.CoordinatorNotAvailable,
            ErrorCode.StaleMemberEpoch or ErrorCode.FencedMemberEpoch => ErrorCode.IllegalGeneration,
            var known => known,
        };

    /// <summary>An error of the coordinator that was asked for a batch's transaction.</summary>
    public static ErrorCode OfProduce(ErrorCode error, short version) => error switch
    {
        ErrorCode.None => ErrorCode.None,
        // Abortable here, where the other would end the producer.
        ErrorCode.ProducerFenced => ErrorCode.InvalidProducerEpoch,
        ErrorCode.ConcurrentTransactions => version >= 12 ? error : ErrorCode.NotEnoughReplicas,
        // The one that clients of all versions retry without a look at the metadata.
        _ when IsPassing(error) => ErrorCode.NotEnoughReplicas,
        _ => OfAppend(error, version),
    };

    /// <summary>An error of a batch's append.</summary>
    public static ErrorCode OfAppend(ErrorCode error, short version) =>
        error == ErrorCode.TransactionAbortable && version < 11 ? ErrorCode.InvalidTxnState : error;

    private static ErrorCode OfCoordinator(ErrorCode error, bool fenced, bool abortable) => error switch
    {
        ErrorCode.ProducerFenced when !fenced => ErrorCode.InvalidProducerEpoch,
        ErrorCode.TransactionAbortable when !abortable => ErrorCode.InvalidTxnState,
        ErrorCode.CoordinatorLoadInProgress or ErrorCode.CoordinatorNotAvailable or ErrorCode.NotCoordinator => error,
        _ when IsPassing(error) => ErrorCode.CoordinatorNotAvailable,
        _ => error,
    };

    // Faults of brokers, stores and the network. A client of a coordinator knows none but the first three.
    private static bool IsPassing(ErrorCode error) => error is ErrorCode.CoordinatorLoadInProgress or ErrorCode.CoordinatorNotAvailable
        or ErrorCode.NotCoordinator or ErrorCode.LeaderNotAvailable or ErrorCode.NotLeaderOrFollower or ErrorCode.RequestTimedOut
        or ErrorCode.BrokerNotAvailable or ErrorCode.NotEnoughReplicas or ErrorCode.NotEnoughReplicasAfterAppend
        or ErrorCode.KafkaStorageError;
}
