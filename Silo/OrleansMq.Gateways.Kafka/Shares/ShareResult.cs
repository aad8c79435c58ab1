using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>The answer about one partition of a share session.</summary>
internal sealed class ShareResult(SharePartitionId id)
{
    public SharePartitionId Id { get; } = id;

    /// <summary>Why nothing was fetched.</summary>
    public ErrorCode Error { get; set; }

    public string? Message { get; set; }

    /// <summary>Why acknowledgements were refused.</summary>
    public ErrorCode AcknowledgeError { get; set; }

    /// <summary>The broker to go to instead; -1 for none.</summary>
    public int Leader { get; set; } = -1;

    public int LeaderEpoch { get; set; } = -1;

    public List<FetchResult> Batches { get; } = [];

    public List<AcquiredRecords> Acquired { get; } = [];

    /// <summary>Whether the client learns something by it.</summary>
    public bool IsNews { get; set; }

    /// <summary>Nothing was fetched.</summary>
    public void Fail(ErrorCode error, string? message) => (Error, Message, IsNews) = (OnTheWire(error), message, true);

    /// <summary>Nothing was fetched, since the partition is not led here.</summary>
    public void Fail(in LocatedPartition found)
    {
        Fail(found.Error, found.Message);
        (Leader, LeaderEpoch) = (found.Leader, found.LeaderEpoch);
    }

    /// <summary>Nothing was acknowledged, since the partition is not led here.</summary>
    public void Refuse(in LocatedPartition found) =>
        (AcknowledgeError, Leader, LeaderEpoch) = (found.Error, found.Leader, found.LeaderEpoch);

    /// <summary>The error of a fetch as clients know it: of any other, the Java client's poll ends with an IllegalStateException. With this
    /// one they look for the leader, and retry.</summary>
    public static ErrorCode OnTheWire(ErrorCode error) => error switch
    {
        ErrorCode.None or ErrorCode.UnknownServerError or ErrorCode.CorruptMessage or ErrorCode.UnknownTopicOrPartition
            or ErrorCode.NotLeaderOrFollower or ErrorCode.TopicAuthorizationFailed or ErrorCode.KafkaStorageError
            or ErrorCode.FencedLeaderEpoch or ErrorCode.UnknownLeaderEpoch or ErrorCode.UnknownTopicId or ErrorCode.InconsistentTopicId
            => error,
        _ => ErrorCode.NotLeaderOrFollower,
    };

    /// <summary>Whether a coordinator's error says only that it does not answer now.</summary>
    public static bool IsPassing(ErrorCode error) => error is ErrorCode.CoordinatorLoadInProgress or ErrorCode.CoordinatorNotAvailable
        or ErrorCode.NotCoordinator or ErrorCode.RequestTimedOut;

    public void Add(ShareRecords records)
    {
        Batches.AddRange(records.Batches);
        Acquired.AddRange(records.Acquired);
        IsNews |= records.Acquired.Count > 0;
    }
}
