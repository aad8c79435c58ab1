using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>What sessions appended to one topic and read from it since the broker started. Thread safe.</summary>
internal sealed class TopicCounts
{
    private long _recordsIn;
    private long _bytesIn;
    private long _recordsOut;
    private long _bytesOut;
    private long _refused;
    private volatile bool _isRetired;

    /// <summary>Records appended.</summary>
    public long RecordsIn => Interlocked.Read(ref _recordsIn);
    /// <summary>Bytes of batches appended, as they were sent.</summary>
    public long BytesIn => Interlocked.Read(ref _bytesIn);
    /// <summary>Records read.</summary>
    public long RecordsOut => Interlocked.Read(ref _recordsOut);
    /// <summary>Bytes of batches read.</summary>
    public long BytesOut => Interlocked.Read(ref _bytesOut);
    /// <summary>Batches refused.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Whether the topic was deleted, so that no metric reports these counts any more.</summary>
    internal bool IsRetired => _isRetired;

    /// <summary>Counts an append by its result.</summary>
    /// <param name="result">The result.</param>
    /// <param name="records">The records of the batch.</param>
    /// <param name="bytes">The bytes of the batch.</param>
    internal void Count(in ProduceResult result, int records, int bytes)
    {
        if (result.Error != ErrorCode.None)
        {
            Interlocked.Increment(ref _refused);
            return;
        }
        Interlocked.Add(ref _recordsIn, records);
        Interlocked.Add(ref _bytesIn, bytes);
    }

    /// <summary>Whether an append that ended so reached its topic. Other errors make no counts, since the topic may not exist.</summary>
    internal static bool ProveTopic(ErrorCode error) => error is not (ErrorCode.UnknownTopicOrPartition or ErrorCode.UnknownTopicId
        or ErrorCode.InvalidTopic or ErrorCode.TopicAuthorizationFailed or ErrorCode.LeaderNotAvailable or ErrorCode.NotLeaderOrFollower
        or ErrorCode.BrokerNotAvailable or ErrorCode.RequestTimedOut or ErrorCode.UnknownServerError);

    /// <summary>Whether a fetch is counted. No other fetch makes counts, since its topic may not exist.</summary>
    internal static bool IsCounted(FetchResult result) => result.Length > 0;

    /// <summary>Counts a fetch by its result, where <see cref="IsCounted"/>.</summary>
    internal void Count(FetchResult result)
    {
        Interlocked.Add(ref _recordsOut, RecordCounts.Of(result));
        Interlocked.Add(ref _bytesOut, result.Length);
    }

    /// <summary>Counts what a queue delivered.</summary>
    internal void Count(IReadOnlyList<QueueRecord> records)
    {
        Interlocked.Add(ref _recordsOut, records.Count);
        Interlocked.Add(ref _bytesOut, records.Sum(record => (long)(record.Key?.Length ?? 0) + (record.Value?.Length ?? 0)));
    }

    /// <summary>Marks the counts as those of a deleted topic.</summary>
    internal void Retire() => _isRetired = true;
}
