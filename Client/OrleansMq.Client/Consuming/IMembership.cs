namespace OrleansMq.Client;

/// <summary>A partition and the id of its topic.</summary>
internal readonly record struct ClaimedPartition(TopicPartition Partition, Guid TopicId);

/// <summary>What a consumer asked for.</summary>
/// <param name="Topics">By name.</param>
/// <param name="Regex">Or by pattern; null for none.</param>
internal sealed record Subscription(IReadOnlyList<string> Topics, string? Regex);

/// <summary>How a consumer comes by its partitions. It runs in the background and tells its <see cref="IAssignmentTarget"/>.</summary>
internal interface IMembership
{
    /// <summary>Who the consumer is.</summary>
    ConsumerGroupMetadata Metadata { get; }

    /// <summary>Begins.</summary>
    void Start();

    /// <summary>Asks for other topics.</summary>
    void Change(Subscription subscription);

    /// <summary>The session must have ended: everything is lost, and it joins again.</summary>
    void SessionIsOver();

    /// <summary>Stops and says so to the group. All partitions were given up before.</summary>
    /// <param name="forGood">Whether a static member does not mean to come back.</param>
    /// <param name="cancellationToken">Ends the attempt; the group then finds out by itself.</param>
    Task LeaveAsync(bool forGood, CancellationToken cancellationToken);
}

/// <summary>What a membership tells its consumer. Additions and revocations are asked for one at a time.</summary>
internal interface IAssignmentTarget
{
    /// <summary>Partitions that are the consumer's.</summary>
    /// <param name="partitions">Which.</param>
    /// <param name="start">Where they start if nothing is committed; null: as the options say.</param>
    Task AddAsync(IReadOnlyCollection<ClaimedPartition> partitions, ReadFrom? start = null);

    /// <summary>Gives partitions up: completes when they are drained and committed.</summary>
    Task RevokeAsync(IReadOnlyCollection<TopicPartition> partitions);

    /// <summary>All partitions are another's: when the call returns no record of them is handed out any more.</summary>
    void LoseAll(string reason);

    /// <summary>The consumer cannot be a member.</summary>
    void Fail(ConsumerGroupException failure);
}
