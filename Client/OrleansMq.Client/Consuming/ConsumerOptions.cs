using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Client;

/// <summary>How a consumer reads and commits, and how it is a member of its group.</summary>
public sealed record ConsumerOptions
{
    /// <summary>Where a partition starts for which nothing is committed. Never applied to an offset that is gone: that is
    /// <see cref="OutOfRange"/>.</summary>
    public required AutoOffsetReset AutoOffsetReset { get; init; }

    /// <summary>The group; null to read partitions without one (<see cref="IConsumer.Assign"/>, <see cref="Broadcast"/>), where nothing can
    /// be committed.</summary>
    public string? GroupId { get; init; }

    /// <summary>
    /// Whether every consumer gets every record: all partitions of the subscribed topics, without membership. False by default. Each starts
    /// as <see cref="AutoOffsetReset"/> says; with a <see cref="GroupId"/> of its own, which no other consumer has, where it committed
    /// last. Partitions that are added later are read from their first record.
    /// </summary>
    public bool Broadcast { get; init; }

    /// <summary>
    /// Which protocol forms the group: <see cref="GroupType.Consumer"/> (KIP-848) by default: the coordinator assigns, and nobody stops
    /// reading what they keep. <see cref="GroupType.Classic"/> shares a group with members that know only that.
    /// </summary>
    public GroupType Protocol { get; init; } = GroupType.Consumer;

    /// <summary>An id of the program's own, unique in the group, by which it keeps its partitions when it comes back within the session
    /// (KIP-345); null: dynamic.</summary>
    public string? GroupInstanceId { get; init; }

    /// <summary>Where the program runs, for assignors that keep readers near replicas; null: not said.</summary>
    public string? Rack { get; init; }

    /// <summary>How the program calls itself, in descriptions of the group.</summary>
    public string ClientId { get; init; } = "orleansmq";

    /// <summary>Consumer protocol: <c>uniform</c> or <c>range</c>; null: the coordinator's default.</summary>
    public string? ServerAssignor { get; init; }

    /// <summary>
    /// Classic protocol: the assignors it knows, the most liked first: <c>range</c> and <c>cooperative-sticky</c> by default, as Kafka's
    /// own consumer; besides <c>roundrobin</c> and <c>sticky</c>. Only where all of them are cooperative does it read on while the group
    /// rebalances.
    /// </summary>
    public IReadOnlyList<string> Assignors { get; init; } = ["range", "cooperative-sticky"];

    /// <summary>
    /// After how long without an answer from the coordinator the consumer's partitions are lost to it: 45 s by default. The consumer
    /// protocol's coordinator has a time of its own (<see cref="GroupOptions.ConsumerSessionTimeout"/>), and says it: where this one is
    /// longer the consumer goes by the coordinator's, and logs that.
    /// </summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(45);

    /// <summary>Classic protocol: how often it says that it is alive, and how late it may hear of a rebalance: 3 s by default, below
    /// <see cref="SessionTimeout"/>. The consumer protocol's coordinator says itself how often.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>How long the group waits for this member to give partitions up, or to join again: 5 minutes by default, above
    /// <see cref="DrainTimeout"/>.</summary>
    public TimeSpan RebalanceTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// How long a partition that is to be given up waits for its records in flight, and the consumer's end for everything: 30 s by default.
    /// Afterwards what is done is committed, and what is not done is read again by whoever gets the partition.
    /// </summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether what is done is committed by itself: every <see cref="AutoCommitInterval"/>, when a partition is given up, and at
    /// the end. True by default.</summary>
    public bool AutoCommit { get; init; } = true;

    /// <summary>5 s by default, above zero.</summary>
    public TimeSpan AutoCommitInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>For how long a commit is tried again before it fails: 1 minute by default.</summary>
    public TimeSpan CommitTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How often topics are looked up again for new partitions, where no coordinator does it (broadcast; classic subscriptions):
    /// 30 s by default.</summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Decides where to go on when the offset to be read is not there (any more): null, or a result of null, and reading throws
    /// <see cref="OffsetOutOfRangeException"/> until the partition is sought. Called while a record is asked for: keep it short.
    /// </summary>
    public Func<OffsetOutOfRangeException, ReadFrom?>? OutOfRange { get; init; }

    /// <summary>Hears which partitions come and go; null: nobody.</summary>
    public IRebalanceListener? RebalanceListener { get; init; }

    /// <summary>How partitions are fetched: bytes ahead over all of them, long poll, retries, clock. Null: as the client's
    /// readers.</summary>
    public ReaderOptions? Reader { get; init; }

    /// <summary>Refuses options that are out of range or contradict each other.</summary>
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
        Require(SessionTimeout > TimeSpan.Zero, nameof(SessionTimeout), "is above zero");
        Require(HeartbeatInterval > TimeSpan.Zero && HeartbeatInterval < SessionTimeout, nameof(HeartbeatInterval),
            "is above zero and below SessionTimeout");
        Require(DrainTimeout >= TimeSpan.Zero && DrainTimeout < RebalanceTimeout, nameof(DrainTimeout),
            "is zero or more and below RebalanceTimeout");
        Require(AutoCommitInterval > TimeSpan.Zero, nameof(AutoCommitInterval), "is above zero");
        Require(CommitTimeout > TimeSpan.Zero, nameof(CommitTimeout), "is above zero");
        Require(MetadataMaxAge > TimeSpan.Zero, nameof(MetadataMaxAge), "is above zero");
        Reader?.Validate();
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"ConsumerOptions.{option} {rule}.", option);
    }
}
