namespace OrleansMq;

/// <summary>
/// Outcomes of the broker API. Names and numbers are those of the Kafka protocol's error codes, so that a gateway sends them as they are.
/// </summary>
public enum ErrorCode : short
{
    /// <summary>The broker failed in a way it has no name for. A bug, or a fault of the environment: see the message.</summary>
    UnknownServerError = -1,
    /// <summary>Done.</summary>
    None = 0,
    /// <summary>The offset is below the log start offset or above the log end offset.</summary>
    OffsetOutOfRange = 1,
    /// <summary>A record batch with a bad length, magic, CRC, count or offsets.</summary>
    CorruptMessage = 2,
    /// <summary>No such topic, or no such partition of it.</summary>
    UnknownTopicOrPartition = 3,
    /// <summary>The partition has no leader yet. Retry.</summary>
    LeaderNotAvailable = 5,
    /// <summary>This broker does not lead the partition (any more). Refresh metadata and retry.</summary>
    NotLeaderOrFollower = 6,
    /// <summary>The request was not answered in time; its outcome is unknown. An idempotent producer may retry.</summary>
    RequestTimedOut = 7,
    /// <summary>No broker of that number is alive.</summary>
    BrokerNotAvailable = 8,
    /// <summary>A batch above the topic's <c>max.message.bytes</c>.</summary>
    MessageTooLarge = 10,
    /// <summary>The metadata of a committed offset above 4,096 bytes.</summary>
    OffsetMetadataTooLarge = 12,
    /// <summary>The group's coordinator reads its state. Retry.</summary>
    CoordinatorLoadInProgress = 14,
    /// <summary>The group's coordinator cannot be reached, or cannot store. Retry.</summary>
    CoordinatorNotAvailable = 15,
    /// <summary>Another broker coordinates the group. Find the coordinator and retry.</summary>
    NotCoordinator = 16,
    /// <summary>A name that no topic may have.</summary>
    InvalidTopic = 17,
    /// <summary>Fewer in-sync replicas than <c>min.insync.replicas</c>; nothing was appended. Retry.</summary>
    NotEnoughReplicas = 19,
    /// <summary>Appended, but fewer in-sync replicas than <c>min.insync.replicas</c> remained. Retry with idempotence.</summary>
    NotEnoughReplicasAfterAppend = 20,
    /// <summary>Acks other than 0, 1 and all.</summary>
    InvalidRequiredAcks = 21,
    /// <summary>The member's generation is over. Join again.</summary>
    IllegalGeneration = 22,
    /// <summary>The protocols (or their type) that a member offers do not go with those of the group.</summary>
    InconsistentGroupProtocol = 23,
    /// <summary>A group id that no group may have.</summary>
    InvalidGroupId = 24,
    /// <summary>The group has no such member (any more). Join again as a new one.</summary>
    UnknownMemberId = 25,
    /// <summary>A session timeout outside the coordinator's bounds.</summary>
    InvalidSessionTimeout = 26,
    /// <summary>The group rebalances. Join again.</summary>
    RebalanceInProgress = 27,
    /// <summary>More offsets in one commit than can be stored.</summary>
    InvalidCommitOffsetSize = 28,
    /// <summary>The principal may not do this with the topic, whether it exists or not.</summary>
    TopicAuthorizationFailed = 29,
    /// <summary>The principal may not do this with the group, whether it exists or not.</summary>
    GroupAuthorizationFailed = 30,
    /// <summary>The principal may not do this with the cluster.</summary>
    ClusterAuthorizationFailed = 31,
    /// <summary>A timestamp outside what the topic's configuration allows.</summary>
    InvalidTimestamp = 32,
    /// <summary>A mechanism of authentication that is not offered. The answer lists those that are.</summary>
    UnsupportedSaslMechanism = 33,
    /// <summary>A request that is not allowed at this point of the authentication. Authenticate first.</summary>
    IllegalSaslState = 34,
    /// <summary>A version of a request that is not served.</summary>
    UnsupportedVersion = 35,
    /// <summary>A topic of that name exists.</summary>
    TopicAlreadyExists = 36,
    /// <summary>A partition count below 1, above the limit, or below what the topic has.</summary>
    InvalidPartitions = 37,
    /// <summary>A replication factor below 1 or above the number of brokers.</summary>
    InvalidReplicationFactor = 38,
    /// <summary>A list of replicas that is empty, names a broker twice, or names one that is not there.</summary>
    InvalidReplicaAssignment = 39,
    /// <summary>A configuration key or value that is not allowed; the message names the allowed ones.</summary>
    InvalidConfig = 40,
    /// <summary>A request that contradicts itself or the protocol.</summary>
    InvalidRequest = 42,
    /// <summary>The topic's policy does not allow this, as a record without a key in a compacted topic.</summary>
    PolicyViolation = 44,
    /// <summary>A sequence number that is neither the next nor a duplicate.</summary>
    OutOfOrderSequenceNumber = 45,
    /// <summary>A sequence number older than the batches remembered for deduplication.</summary>
    DuplicateSequenceNumber = 46,
    /// <summary>A producer epoch older than the one the log knows: the producer is fenced.</summary>
    InvalidProducerEpoch = 47,
    /// <summary>The transaction is not in a state that allows this, as a commit where none is open.</summary>
    InvalidTxnState = 48,
    /// <summary>The transactional id has another producer id, or is not known (any more).</summary>
    InvalidProducerIdMapping = 49,
    /// <summary>A transaction timeout that is not positive, or above <c>transaction.max.timeout.ms</c>.</summary>
    InvalidTransactionTimeout = 50,
    /// <summary>The producer's last transaction is being ended. Retry.</summary>
    ConcurrentTransactions = 51,
    /// <summary>A marker of a transaction coordinator that another one has replaced.</summary>
    TransactionCoordinatorFenced = 52,
    /// <summary>The client may not use that transactional id.</summary>
    TransactionalIdAuthorizationFailed = 53,
    /// <summary>Not attempted, since another part of the request was refused.</summary>
    OperationNotAttempted = 55,
    /// <summary>The partition's storage is offline, full or failing; the message names the path and the fix.</summary>
    KafkaStorageError = 56,
    /// <summary>The credentials are not those of a user.</summary>
    SaslAuthenticationFailed = 58,
    /// <summary>The producer id is not known to the partition (any more).</summary>
    UnknownProducerId = 59,
    /// <summary>Replicas are being moved already. Wait for it, or cancel it.</summary>
    ReassignmentInProgress = 60,
    /// <summary>A group that has members.</summary>
    NonEmptyGroup = 68,
    /// <summary>There is no such group.</summary>
    GroupIdNotFound = 69,
    /// <summary>The fetch session is not known (any more).</summary>
    FetchSessionIdNotFound = 70,
    /// <summary>The epoch of the fetch session is not the next one.</summary>
    InvalidFetchSessionEpoch = 71,
    /// <summary>The caller's leader epoch is older than the partition's.</summary>
    FencedLeaderEpoch = 74,
    /// <summary>The caller's leader epoch is newer than the partition's.</summary>
    UnknownLeaderEpoch = 75,
    /// <summary>A codec that is unknown, or whose library is not on this machine.</summary>
    UnsupportedCompressionType = 76,
    /// <summary>The new leader does not know the last offset yet. Retry.</summary>
    OffsetNotAvailable = 78,
    /// <summary>Join again with the member id that this answer brings.</summary>
    MemberIdRequired = 79,
    /// <summary>The preferred leader is not alive or not in sync, so it cannot lead now.</summary>
    PreferredLeaderNotAvailable = 80,
    /// <summary>The group has as many members as it may have.</summary>
    GroupMaxSizeReached = 81,
    /// <summary>Another member with the same instance id has taken this one's place.</summary>
    FencedInstanceId = 82,
    /// <summary>No replica of the partition may lead it.</summary>
    EligibleLeadersNotAvailable = 83,
    /// <summary>The partition is led as asked for already.</summary>
    ElectionNotNeeded = 84,
    /// <summary>No replica is being moved.</summary>
    NoReassignmentInProgress = 85,
    /// <summary>Members of the group are subscribed to the topic.</summary>
    GroupSubscribedToTopic = 86,
    /// <summary>A record that the topic does not accept.</summary>
    InvalidRecord = 87,
    /// <summary>Offsets of an open transaction. Retry.</summary>
    UnstableOffsetCommit = 88,
    /// <summary>The caller has used up what a quota allows. Retry later.</summary>
    ThrottlingQuotaExceeded = 89,
    /// <summary>A newer instance of the transactional id, its timeout or an operator has fenced the producer.</summary>
    ProducerFenced = 90,
    /// <summary>There is no such user, or it has no such credential.</summary>
    ResourceNotFound = 91,
    /// <summary>The request names the same thing twice.</summary>
    DuplicateResource = 92,
    /// <summary>A credential that is not allowed, such as one with too few iterations.</summary>
    UnacceptableCredential = 93,
    /// <summary>No topic has that id.</summary>
    UnknownTopicId = 100,
    /// <summary>No broker of that number was ever in the cluster, or it was removed.</summary>
    BrokerIdNotRegistered = 102,
    /// <summary>The topic id and the topic's name do not belong together.</summary>
    InconsistentTopicId = 103,
    /// <summary>There is no such transactional id.</summary>
    TransactionalIdNotFound = 105,
    /// <summary>The member epoch is not the one the coordinator knows. Give all partitions up and join again.</summary>
    FencedMemberEpoch = 110,
    /// <summary>Another member with the same instance id has not left.</summary>
    UnreleasedInstanceId = 111,
    /// <summary>An assignor that the coordinator does not have.</summary>
    UnsupportedAssignor = 112,
    /// <summary>The member epoch is older than the one the coordinator knows. Commit again with the new one.</summary>
    StaleMemberEpoch = 113,
    /// <summary>The transaction cannot go on: abort it.</summary>
    TransactionAbortable = 120,
    /// <summary>The lock of these records has ended, or they are settled already.</summary>
    InvalidRecordState = 121,
    /// <summary>The share session is not known (any more). Open another.</summary>
    ShareSessionNotFound = 122,
    /// <summary>The epoch of the share session is not the next one. Open another.</summary>
    InvalidShareSessionEpoch = 123,
    /// <summary>A regular expression that cannot be read, or is too costly.</summary>
    InvalidRegularExpression = 128,
    /// <summary>The broker has as many share sessions as it may have. Retry.</summary>
    ShareSessionLimitReached = 133,
}

/// <summary>What a caller does about an <see cref="ErrorCode"/>.</summary>
public enum ErrorAction
{
    /// <summary>Nothing failed.</summary>
    None = 0,
    /// <summary>The same request may succeed later.</summary>
    Retry = 1,
    /// <summary>The request is wrong or refused; sent again it fails again. Others may go on.</summary>
    Abort = 2,
    /// <summary>The sender is fenced or out of step: close it, and open another.</summary>
    GiveUp = 3,
}

/// <summary>Facts about error codes.</summary>
public static class ErrorCodes
{
    /// <summary>What a caller does about <paramref name="code"/>.</summary>
    public static ErrorAction Action(this ErrorCode code) => code switch
    {
        ErrorCode.None => ErrorAction.None,
        ErrorCode.LeaderNotAvailable or ErrorCode.NotLeaderOrFollower or ErrorCode.RequestTimedOut or ErrorCode.NotEnoughReplicas
            or ErrorCode.NotEnoughReplicasAfterAppend or ErrorCode.KafkaStorageError or ErrorCode.OffsetNotAvailable
            or ErrorCode.UnknownLeaderEpoch or ErrorCode.FencedLeaderEpoch or ErrorCode.UnknownTopicId or ErrorCode.BrokerNotAvailable
            or ErrorCode.ReassignmentInProgress or ErrorCode.PreferredLeaderNotAvailable or ErrorCode.EligibleLeadersNotAvailable
            or ErrorCode.CoordinatorLoadInProgress or ErrorCode.CoordinatorNotAvailable or ErrorCode.NotCoordinator
            or ErrorCode.RebalanceInProgress
            or ErrorCode.UnstableOffsetCommit or ErrorCode.ThrottlingQuotaExceeded or ErrorCode.ConcurrentTransactions
            or ErrorCode.MemberIdRequired
            or ErrorCode.StaleMemberEpoch or ErrorCode.FetchSessionIdNotFound
            or ErrorCode.InvalidFetchSessionEpoch or ErrorCode.ShareSessionNotFound or ErrorCode.InvalidShareSessionEpoch
            or ErrorCode.ShareSessionLimitReached => ErrorAction.Retry,
        ErrorCode.InvalidProducerEpoch or ErrorCode.OutOfOrderSequenceNumber or ErrorCode.UnknownProducerId or ErrorCode.IllegalGeneration
            or ErrorCode.UnknownMemberId or ErrorCode.FencedInstanceId or ErrorCode.FencedMemberEpoch or ErrorCode.ProducerFenced
            or ErrorCode.InvalidProducerIdMapping or ErrorCode.InvalidTxnState => ErrorAction.GiveUp,
        _ => ErrorAction.Abort,
    };
}

/// <summary>The base of what the broker and its client library throw: one catch for all of it. <see cref="Code"/> says what happened, and
/// the message what to do.</summary>
public abstract class OrleansMqException : Exception
{
    /// <summary>An error with its code and a message that names the field and the fix.</summary>
    protected OrleansMqException(ErrorCode code, string message, Exception? inner = null) : base(message, inner) => Code = code;

    /// <summary>The protocol's name for what happened.</summary>
    public ErrorCode Code { get; }

    /// <summary>Whether to retry, abort or give up.</summary>
    public ErrorAction Action => Code.Action();
}

/// <summary>The broker refused a request, or could not do it.</summary>
public class BrokerException : OrleansMqException
{
    /// <summary>An error with its code and a message that names the field and the fix.</summary>
    public BrokerException(ErrorCode code, string message, Exception? inner = null) : base(code, message, inner) { }
}
