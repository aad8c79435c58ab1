namespace OrleansMq.Partitions;

/// <summary>
/// Whether a partition serves, and why not. Its state has no lock: each mark is set once and never removed; a restart of the broker opens
/// the partition anew. A thread that read the older state finishes the step it has begun.
/// <code>
/// serving          --> offline   its storage failed, or a bug stopped it; the first reason stays
/// serving, offline --> closed    the broker stops; queued appends are still written
/// any              --> deleted   its topic was deleted, or its directory is set aside
/// </code>
/// </summary>
internal sealed class PartitionAvailability
{
    private readonly TopicPartition _partition;
    private string? _offlineReason;
    private volatile Exception? _offlineFault;
    private volatile bool _isClosed;
    private volatile bool _isDeleted;

    /// <summary>Begins to serve; offline if there is a reason.</summary>
    public PartitionAvailability(TopicPartition partition, string? offlineReason = null, Exception? fault = null) =>
        (_partition, _offlineReason, _offlineFault) = (partition, offlineReason, fault);

    /// <summary>What failed, which file, and the fix; null while the storage works.</summary>
    public string? OfflineReason => Volatile.Read(ref _offlineReason);

    /// <summary>The fault that took it offline, if there was one.</summary>
    public Exception? OfflineFault => _offlineFault;

    /// <summary>Whether it was closed with the broker.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Whether it ended for good: its directory is removed or set aside.</summary>
    public bool IsDeleted => _isDeleted;

    /// <summary>Whether it serves.</summary>
    public bool IsServing => !_isDeleted && !_isClosed && OfflineReason is null;

    /// <summary>Takes it offline.</summary>
    /// <returns>False if it was offline before; then the earlier reason stays.</returns>
    public bool TryGoOffline(string reason, Exception? fault)
    {
        if (Interlocked.CompareExchange(ref _offlineReason, reason, null) is not null)
            return false;
        _offlineFault = fault;
        return true;
    }

    /// <summary>Closes it.</summary>
    public void Close() => _isClosed = true;

    /// <summary>Marks it as deleted.</summary>
    public void Delete() => _isDeleted = true;

    /// <summary>Returns the refusal of a request; <see cref="ErrorCode.None"/> while it serves.</summary>
    public ErrorCode Refuse(out string message)
    {
        if (_isDeleted)
        {
            message = $"The topic '{_partition.Topic}' was deleted.";
            return ErrorCode.UnknownTopicOrPartition;
        }
        if (OfflineReason is { } reason)
        {
            message = reason;
            return ErrorCode.KafkaStorageError;
        }
        if (_isClosed)
        {
            message = "The broker is shutting down. Retry.";
            return ErrorCode.NotLeaderOrFollower;
        }
        message = "";
        return ErrorCode.None;
    }

    /// <summary>Returns the refusal of queued appends: as <see cref="Refuse"/>, but a closed partition still writes its queue.</summary>
    public ErrorCode RefuseQueued(out string message)
    {
        var refused = Refuse(out message);
        return refused == ErrorCode.NotLeaderOrFollower ? ErrorCode.None : refused;
    }
}
