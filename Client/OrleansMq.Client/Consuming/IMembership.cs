namespace OrleansMq.Client;

/// <summary>A partition and the id of its topic.</summary>
internal readonly record struct ClaimedPartition(TopicPartition Partition, Guid TopicId);

/// <summary>The topics that a consumer subscribes to.</summary>
/// <param name="Topics">Topics by name.</param>
/// <param name="Regex">A pattern instead of names; null for none.</param>
internal sealed record Subscription(IReadOnlyList<string> Topics, string? Regex);

/// <summary>The source of a consumer's assignment. It runs in the background and notifies its <see cref="IAssignmentTarget"/>.</summary>
internal interface IMembership
{
    /// <summary>The consumer's identity in its group.</summary>
    ConsumerGroupMetadata Metadata { get; }

    /// <summary>Starts the membership.</summary>
    void Start();

    /// <summary>Replaces the subscription.</summary>
    void Change(Subscription subscription);

    /// <summary>Handles an expired session: all partitions are lost, and the member rejoins.</summary>
    void SessionIsOver();

    /// <summary>Stops and leaves the group. All partitions are revoked already.</summary>
    /// <param name="forGood">Whether a static member leaves permanently.</param>
    /// <param name="cancellationToken">Ends the attempt; the member is then removed when its session times out.</param>
    Task LeaveAsync(bool forGood, CancellationToken cancellationToken);
}

/// <summary>Receives the assignment from a membership. Additions and revocations are requested one at a time.</summary>
internal interface IAssignmentTarget
{
    /// <summary>Adds partitions to the consumer.</summary>
    /// <param name="partitions">The partitions.</param>
    /// <param name="start">Where they start without a committed offset; null: as the options specify.</param>
    Task AddAsync(IReadOnlyCollection<ClaimedPartition> partitions, ReadFrom? start = null);

    /// <summary>Revokes partitions. Completes when they are drained and committed.</summary>
    Task RevokeAsync(IReadOnlyCollection<TopicPartition> partitions);

    /// <summary>Removes all partitions at once, since they may be reassigned. No record of them is handed out once the call
    /// returns.</summary>
    void LoseAll(string reason);

    /// <summary>Reports that the consumer cannot be a member.</summary>
    void Fail(ConsumerGroupException failure);
}
