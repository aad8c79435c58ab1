namespace OrleansMq.Gateways.Http;

/// <summary>The HTTP status of each outcome of the broker API.</summary>
internal static class ErrorStatus
{
    /// <param name="code">The outcome.</param>
    /// <param name="diskFull">Whether the data volume is full, which makes a storage error 507 rather than 503.</param>
    public static int Of(ErrorCode code, bool diskFull) => code switch
    {
        ErrorCode.None => StatusCodes.Status200OK,
        ErrorCode.SaslAuthenticationFailed => StatusCodes.Status401Unauthorized,
        ErrorCode.TopicAuthorizationFailed or ErrorCode.GroupAuthorizationFailed or ErrorCode.ClusterAuthorizationFailed
            or ErrorCode.TransactionalIdAuthorizationFailed =>
            StatusCodes.Status403Forbidden,
        ErrorCode.UnknownTopicOrPartition or ErrorCode.UnknownTopicId or ErrorCode.BrokerIdNotRegistered
            or ErrorCode.GroupIdNotFound or ErrorCode.TransactionalIdNotFound or ErrorCode.ResourceNotFound =>
            StatusCodes.Status404NotFound,
        ErrorCode.TopicAlreadyExists or ErrorCode.ReassignmentInProgress or ErrorCode.NoReassignmentInProgress
            or ErrorCode.ElectionNotNeeded => StatusCodes.Status409Conflict,
        ErrorCode.OutOfOrderSequenceNumber or ErrorCode.DuplicateSequenceNumber or ErrorCode.InvalidProducerEpoch
            or ErrorCode.UnknownProducerId
            or ErrorCode.FencedLeaderEpoch or ErrorCode.InconsistentTopicId or ErrorCode.NonEmptyGroup or ErrorCode.GroupSubscribedToTopic
            or ErrorCode.RebalanceInProgress or ErrorCode.UnstableOffsetCommit or ErrorCode.UnknownMemberId or ErrorCode.StaleMemberEpoch
            or ErrorCode.InvalidTxnState or ErrorCode.TransactionAbortable or ErrorCode.ConcurrentTransactions
            or ErrorCode.ProducerFenced or ErrorCode.InvalidProducerIdMapping or ErrorCode.TransactionCoordinatorFenced =>
            StatusCodes.Status409Conflict,
        ErrorCode.ThrottlingQuotaExceeded => StatusCodes.Status429TooManyRequests,
        ErrorCode.OffsetOutOfRange => StatusCodes.Status416RangeNotSatisfiable,
        ErrorCode.MessageTooLarge => StatusCodes.Status413PayloadTooLarge,
        ErrorCode.UnsupportedCompressionType => StatusCodes.Status415UnsupportedMediaType,
        ErrorCode.KafkaStorageError => diskFull ? StatusCodes.Status507InsufficientStorage : StatusCodes.Status503ServiceUnavailable,
        ErrorCode.LeaderNotAvailable or ErrorCode.NotLeaderOrFollower or ErrorCode.NotEnoughReplicas
            or ErrorCode.NotEnoughReplicasAfterAppend
            or ErrorCode.OffsetNotAvailable or ErrorCode.UnknownLeaderEpoch or ErrorCode.BrokerNotAvailable
            or ErrorCode.PreferredLeaderNotAvailable
            or ErrorCode.EligibleLeadersNotAvailable or ErrorCode.CoordinatorNotAvailable or ErrorCode.CoordinatorLoadInProgress
            or ErrorCode.NotCoordinator => StatusCodes.Status503ServiceUnavailable,
        ErrorCode.RequestTimedOut => StatusCodes.Status504GatewayTimeout,
        ErrorCode.UnknownServerError => StatusCodes.Status500InternalServerError,
        _ => StatusCodes.Status400BadRequest,
    };
}
