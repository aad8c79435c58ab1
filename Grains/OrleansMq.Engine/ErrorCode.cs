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
    /// <summary>A name that no topic may have.</summary>
    InvalidTopic = 17,
    /// <summary>Fewer in-sync replicas than <c>min.insync.replicas</c>; nothing was appended. Retry.</summary>
    NotEnoughReplicas = 19,
    /// <summary>Appended, but fewer in-sync replicas than <c>min.insync.replicas</c> remained. Retry with idempotence.</summary>
    NotEnoughReplicasAfterAppend = 20,
    /// <summary>Acks other than 0, 1 and all.</summary>
    InvalidRequiredAcks = 21,
    /// <summary>A timestamp outside what the topic's configuration allows.</summary>
    InvalidTimestamp = 32,
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
    /// <summary>The partition's storage is offline, full or failing; the message names the path and the fix.</summary>
    KafkaStorageError = 56,
    /// <summary>The producer id is not known to the partition (any more).</summary>
    UnknownProducerId = 59,
    /// <summary>Replicas are being moved already. Wait for it, or cancel it.</summary>
    ReassignmentInProgress = 60,
    /// <summary>The caller's leader epoch is older than the partition's.</summary>
    FencedLeaderEpoch = 74,
    /// <summary>The caller's leader epoch is newer than the partition's.</summary>
    UnknownLeaderEpoch = 75,
    /// <summary>A codec that is unknown, or whose library is not on this machine.</summary>
    UnsupportedCompressionType = 76,
    /// <summary>The new leader does not know the last offset yet. Retry.</summary>
    OffsetNotAvailable = 78,
    /// <summary>The preferred leader is not alive or not in sync, so it cannot lead now.</summary>
    PreferredLeaderNotAvailable = 80,
    /// <summary>No replica of the partition may lead it.</summary>
    EligibleLeadersNotAvailable = 83,
    /// <summary>The partition is led as asked for already.</summary>
    ElectionNotNeeded = 84,
    /// <summary>No replica is being moved.</summary>
    NoReassignmentInProgress = 85,
    /// <summary>A record that the topic does not accept.</summary>
    InvalidRecord = 87,
    /// <summary>No topic has that id.</summary>
    UnknownTopicId = 100,
    /// <summary>No broker of that number was ever in the cluster, or it was removed.</summary>
    BrokerIdNotRegistered = 102,
    /// <summary>The topic id and the topic's name do not belong together.</summary>
    InconsistentTopicId = 103,
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
            or ErrorCode.ReassignmentInProgress or ErrorCode.PreferredLeaderNotAvailable or ErrorCode.EligibleLeadersNotAvailable => ErrorAction.Retry,
        ErrorCode.InvalidProducerEpoch or ErrorCode.OutOfOrderSequenceNumber or ErrorCode.UnknownProducerId => ErrorAction.GiveUp,
        _ => ErrorAction.Abort,
    };
}

/// <summary>The broker refused a request, or could not do it. <see cref="Code"/> says which; the message says what to do.</summary>
public class BrokerException : Exception
{
    /// <summary>An error with its code and a message that names the field and the fix.</summary>
    public BrokerException(ErrorCode code, string message, Exception? inner = null) : base(message, inner) => Code = code;

    /// <summary>The protocol's name for what happened.</summary>
    public ErrorCode Code { get; }

    /// <summary>Whether to retry, abort or give up.</summary>
    public ErrorAction Action => Code.Action();
}
