using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Client;

/// <summary>Options of a consumer: reading, committing and group membership.</summary>
public sealed record ConsumerOptions
{
    /// <summary>Where a partition starts if no offset is committed for it. Not applied to a position that no longer exists: see
    /// <see cref="OutOfRange"/>.</summary>
    public required AutoOffsetReset AutoOffsetReset { get; init; }

    /// <summary>The group; null to read partitions without one (<see cref="IConsumer.Assign"/>, <see cref="Broadcast"/>), in which case
    /// nothing can be committed.</summary>
    public string? GroupId { get; init; }

    /// <summary>
    /// Whether every consumer receives every record: all partitions of the subscribed topics, without membership. False by default. Each
    /// consumer starts as <see cref="AutoOffsetReset"/> specifies. With a <see cref="GroupId"/> that no other consumer uses, it starts at
    /// its last commit. Partitions added later are read from their first record.
    /// </summary>
    public bool Broadcast { get; init; }

    /// <summary>
    /// The protocol of the group. The default, <see cref="GroupType.Consumer"/> (KIP-848): the coordinator assigns, and members continue
    /// reading the partitions they keep. <see cref="GroupType.Classic"/> shares a group with members that support only that.
    /// </summary>
    public GroupType Protocol { get; init; } = GroupType.Consumer;

    /// <summary>A stable id of this process, unique in the group (KIP-345). A member that restarts within the session timeout keeps its
    /// partitions. Null for a dynamic member.</summary>
    public string? GroupInstanceId { get; init; }

    /// <summary>Where the process runs, for assignors that place readers near replicas; null if not specified.</summary>
    public string? Rack { get; init; }

    /// <summary>The client's name for itself, shown in descriptions of the group.</summary>
    public string ClientId { get; init; } = "orleansmq";

    /// <summary>Consumer protocol: <c>uniform</c> or <c>range</c>; null for the coordinator's default.</summary>
    public string? ServerAssignor { get; init; }

    /// <summary>
    /// Classic protocol: the supported assignors in order of preference. The default is <c>range</c> and <c>cooperative-sticky</c>, as in
    /// Kafka's own consumer; <c>roundrobin</c> and <c>sticky</c> are available too. The member reads during a rebalance only if all of them
    /// are cooperative.
    /// </summary>
    public IReadOnlyList<string> Assignors { get; init; } = ["range", "cooperative-sticky"];

    /// <summary>
    /// How long the consumer may be silent before the coordinator removes it, and how long it keeps its partitions without an answer. Null,
    /// the default, is the coordinator's own (<see cref="GroupOptions.ConsumerSessionTimeout"/>): 45 s. The broker's bounds are 6 s to 30
    /// minutes. A shorter timeout also shortens the interval of heartbeats. A consumer whose process dies is removed sooner: 5 seconds
    /// after its poll broke off (<see cref="GroupOptions.BrokenPollGrace"/>). A consumer whose poll broke off otherwise, or was not
    /// answered, keeps its partitions as long without another answer. Neither applies with a <see cref="GroupInstanceId"/>.
    /// </summary>
    public TimeSpan? SessionTimeout { get; init; }

    /// <summary>Classic protocol: the interval of heartbeats, and so the maximum delay until a rebalance is noticed: 3 s by default, below
    /// <see cref="SessionTimeout"/>. Under the consumer protocol the coordinator sets the interval.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>How long the group waits for this member to revoke partitions or to rejoin: 5 minutes by default, above
    /// <see cref="DrainTimeout"/>.</summary>
    public TimeSpan RebalanceTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// How long a revocation waits for the partition's records in flight, and closing for all of them: 30 s by default. Afterwards the
    /// records that are done are committed; the next owner of the partition reads the others again.
    /// </summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether offsets are committed automatically: every <see cref="AutoCommitInterval"/>, when a partition is revoked, and on
    /// close. True by default.</summary>
    public bool AutoCommit { get; init; } = true;

    /// <summary>The interval of automatic commits: 5 s by default, above zero.</summary>
    public TimeSpan AutoCommitInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a commit is retried before it fails: 1 minute by default.</summary>
    public TimeSpan CommitTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The interval at which topics are checked for new partitions if no coordinator does so (broadcast; classic subscriptions):
    /// 30 s by default. A subscribed topic that does not exist is looked for at intervals that grow from
    /// <see cref="ReaderOptions.RetryBackoffMax"/> to this one.</summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Chooses the next position when the current one does not exist (any more). If this is null or returns null, reading throws
    /// <see cref="OffsetOutOfRangeException"/> until a seek. Called while a record is being read: keep it short. An exception is logged,
    /// and counts as null.
    /// </summary>
    public Func<OffsetOutOfRangeException, ReadFrom?>? OutOfRange { get; init; }

    /// <summary>Receives assignments and revocations; null for none.</summary>
    public IRebalanceListener? RebalanceListener { get; init; }

    /// <summary>How partitions are fetched: total prefetch size, long poll, retries, clock. Null for the client's reader options.</summary>
    public ReaderOptions? Reader { get; init; }

    /// <summary>Validates ranges and combinations of options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(AutoOffsetReset is AutoOffsetReset.Earliest or AutoOffsetReset.Latest or AutoOffsetReset.Fail, nameof(AutoOffsetReset),
            "has to be chosen: Earliest, Latest or Fail");
        Require(GroupId is null || GroupId.Length > 0, nameof(GroupId), "is null or not empty");
        Require(GroupInstanceId is null || GroupInstanceId.Length > 0, nameof(GroupInstanceId), "is null or not empty");
        Require(Protocol is GroupType.Consumer or GroupType.Classic, nameof(Protocol), "is Consumer or Classic");
        Require(Assignors.Count > 0 && Assignors.All(static name => ClientAssignors.TryGet(name, out _)), nameof(Assignors),
            $"names some of {string.Join(", ", ClientAssignors.All.Select(static assignor => assignor.Name))}");
        Require(SessionTimeout is null || SessionTimeout > TimeSpan.Zero, nameof(SessionTimeout), "is above zero");
        Require(HeartbeatInterval > TimeSpan.Zero && HeartbeatInterval < SessionTimeoutOrDefault, nameof(HeartbeatInterval),
            "is above zero and below SessionTimeout");
        Require(DrainTimeout >= TimeSpan.Zero && DrainTimeout < RebalanceTimeout, nameof(DrainTimeout),
            "is zero or more and below RebalanceTimeout");
        Require(AutoCommitInterval > TimeSpan.Zero, nameof(AutoCommitInterval), "is above zero");
        Require(CommitTimeout > TimeSpan.Zero, nameof(CommitTimeout), "is above zero");
        Require(MetadataMaxAge > TimeSpan.Zero, nameof(MetadataMaxAge), "is above zero");
        Reader?.Validate();
    }

    /// <summary>The session timeout; without one that of Kafka's consumers, until the coordinator states its own.</summary>
    internal TimeSpan SessionTimeoutOrDefault => SessionTimeout ?? TimeSpan.FromSeconds(45);

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"ConsumerOptions.{option} {rule}.", option);
    }
}
