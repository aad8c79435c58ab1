using OrleansMq.Api;
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

    public void Fail(ErrorCode error, string? message) => (Error, Message, IsNews) = (error, message, true);

    public void Add(ShareRecords records)
    {
        Batches.AddRange(records.Batches);
        Acquired.AddRange(records.Acquired);
        IsNews |= records.Acquired.Count > 0;
    }
}
