using Message = OrleansMq.Client.QueueMessage<byte[]?, byte[]?>;

namespace OrleansMq.Consumers;

/// <summary>Delivers the records of one cursor to their grains.</summary>
internal interface IDeliveries
{
    /// <summary>Why a record without a key is dead-lettered; null: it is settled.</summary>
    string? CauseWithoutKey { get; }

    /// <summary>The most bytes of records that are delivered together.</summary>
    long MaxRun { get; }

    /// <summary>Returns how often a record failed in another cursor, before this one had it.</summary>
    /// <param name="offset">Its offset.</param>
    int FailuresBefore(long offset) => 0;

    /// <summary>Delivers records of one key to every subscriber.</summary>
    Task<RunAnswer> DeliverAsync(RecordRun run, SemaphoreSlim places, CancellationToken cancellationToken);
}

/// <summary>Records of one key that are delivered together, in order.</summary>
/// <param name="Topic">Their topic.</param>
/// <param name="Key">Their key.</param>
/// <param name="Messages">The records; one or more, of one partition and under one lock.</param>
/// <param name="Progress">How far each subscriber is, over the calls for one run.</param>
internal sealed record RecordRun(string Topic, IdSpan Key, IReadOnlyList<Message> Messages, RunProgress Progress)
{
    /// <summary>The cursor's id.</summary>
    public Guid Queue => Messages[0].Lock.Queue;

    /// <summary>Their partition.</summary>
    public int Partition => Messages[0].TopicPartition.Partition;

    /// <summary>Is cancelled when what received them has ended: they are delivered again, maybe elsewhere.</summary>
    public CancellationToken Ended => Messages[0].Attachment.Ended;

    /// <summary>How many bytes they take in a call. Above <see cref="IDeliveries.MaxRun"/> it is one record.</summary>
    public long Size => Messages.Sum(static message => message.Size);
}

/// <summary>How far the subscribers of a run are. It lasts until the run is settled, over several calls. Subscribers may be served at
/// once.</summary>
internal sealed class RunProgress
{
    private readonly Dictionary<Guid, long> _served = [];

    /// <summary>When the first subscriber had nothing more to do; null: none has.</summary>
    public long? AheadSince { get; set; }

    /// <summary>Returns the last offset that a subscriber has served; -1: none.</summary>
    public long Last(Guid subscriber)
    {
        lock (_served)
            return _served.GetValueOrDefault(subscriber, -1);
    }

    /// <summary>A subscriber has served everything up to an offset.</summary>
    public void Serve(Guid subscriber, long offset)
    {
        lock (_served)
            _served[subscriber] = offset;
    }
}

/// <summary>Delivers records to one grain, by a call of an extension of it.</summary>
internal interface IGrainDelivery
{
    /// <summary>What they come from, for causes and the log.</summary>
    string Origin { get; }

    /// <summary>How the extension is installed, for a silo that has none.</summary>
    string Installation { get; }

    /// <summary>The offsets of the records.</summary>
    IEnumerable<long> Offsets { get; }

    /// <summary>How many bytes they take.</summary>
    long Size { get; }

    /// <summary>Is cancelled when what received them has ended.</summary>
    CancellationToken Ended { get; }

    /// <summary>Calls the grain.</summary>
    /// <param name="grains">The grains.</param>
    /// <param name="grain">The grain.</param>
    /// <param name="cancellationToken">Is cancelled when the records are delivered again, maybe elsewhere. The call may go on.</param>
    Task<DeliveryAnswer> CallAsync(IGrainFactory grains, GrainId grain, CancellationToken cancellationToken);

    /// <summary>Returns the record that the grain works at, by its offset; null: at none.</summary>
    Task<long?> FindCurrentAsync(IGrainFactory grains, GrainId grain);

    /// <summary>Returns whether the grain has this delivery, by a call that waits behind those that the grain has; true: it has, or cannot
    /// tell.</summary>
    Task<bool> IsDeliveringAsync(IGrainFactory grains, GrainId grain);
}
