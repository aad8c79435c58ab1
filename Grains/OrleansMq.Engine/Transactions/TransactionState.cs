using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Transactions;

/// <summary>A request over a client's connection to a broker.</summary>
/// <param name="BrokerId">The broker.</param>
/// <param name="Number">The connection's number: it rises with each connection to that broker; 0 if unknown.</param>
/// <param name="Sequence">The request's number: it rises with each request over the connection; 0 if unknown.</param>
internal readonly record struct TransactionConnection(int BrokerId, long Number, long Sequence = 0)
{
    /// <summary>The request of a caller.</summary>
    public static TransactionConnection Of(in TransactionCaller caller) =>
        caller.Connection > 0 ? new(caller.BrokerId, caller.Connection, caller.Sequence) : default;

    /// <summary>Whether it came over the same connection as another one.</summary>
    public bool IsOver(TransactionConnection other) => BrokerId == other.BrokerId && Number == other.Number;

    /// <summary>Whether another one came later to the same broker: over a younger connection, or later over this one.</summary>
    public bool IsBefore(TransactionConnection other) => Number > 0 && BrokerId == other.BrokerId
        && (Number < other.Number || (Number == other.Number && Sequence > 0 && Sequence < other.Sequence));
}

/// <summary>An initialization that was answered with an identity.</summary>
/// <param name="RequestId">See <see cref="InitTransactions.RequestId"/>; not empty.</param>
/// <param name="Producer">The identity.</param>
internal readonly record struct TransactionInit(Guid RequestId, ProducerIdentity Producer);

/// <summary>
/// A transactional id: its producer, and its open or last transaction. Immutable.
/// <code>
/// Empty, Complete*  -- Add       --> Ongoing          a transaction begins, with the next number
/// Ongoing           -- Add       --> Ongoing          it has more partitions and groups
/// Ongoing           -- End       --> PrepareCommit or PrepareAbort: decided, for good
/// Ongoing           -- time, a new instance, an operator --> PrepareAbort, with a higher epoch: the old instance is fenced
/// Prepare*          -- all partitions and groups know    --> Complete*
/// Empty, Complete*  -- Init      --> Empty            with the next epoch
/// Complete*, Empty  -- expiry    --> (none)
/// </code>
/// What is stored decides. A Complete state need not be stored: of a Prepare state that is read again the partitions and groups are told
/// again, which changes nothing.
/// </summary>
internal sealed record TransactionState
{
    /// <summary>How many initializations are kept: a repetition comes after a few others at most.</summary>
    public const int MostInits = 4;

    /// <summary>The highest epoch that batches are sent with. The next one, 32,767, is for markers alone: then the producer gets another
    /// id.</summary>
    public const short MaxEpoch = short.MaxValue - 1;

    /// <summary>The phase.</summary>
    public required TransactionPhase Phase { get; init; }
    /// <summary>The producer's id.</summary>
    public required long ProducerId { get; init; }
    /// <summary>The producer's epoch. In a Prepare phase that of the markers.</summary>
    public required short Epoch { get; init; }
    /// <summary>The epoch that the last request for the next one came with, to recognize its repetition; -1 for none.</summary>
    public short LastEpoch { get; init; } = -1;
    /// <summary>The id before this one, whose epochs were used up; -1 for none.</summary>
    public long PreviousProducerId { get; init; } = -1;
    /// <summary>In a Prepare phase the id that the producer has afterwards, since the epochs of this one are used up; -1: this
    /// one.</summary>
    public long NextProducerId { get; init; } = -1;
    /// <summary>How long a transaction may be open.</summary>
    public required TimeSpan Timeout { get; init; }
    /// <summary>The number of the open or last transaction; 0: there was none. It rises also where the document is restored to an earlier
    /// time, since it is at least the time of the transaction's begin.</summary>
    public long Number { get; init; }
    /// <summary>The number of the transaction that was decided last, to recognize a repetition of its end when the next one has begun; 0
    /// for none.</summary>
    public long EndedNumber { get; init; }
    /// <summary>Whether that one was committed.</summary>
    public bool IsEndedByCommit { get; init; }
    /// <summary>In a Prepare phase, whether the epoch of the markers is above that of the transaction's batches.</summary>
    public bool RaisesEpoch { get; init; }
    /// <summary>The partitions of the open transaction, or of the one that is being ended.</summary>
    public ImmutableSortedSet<TransactionPartition> Partitions { get; init; } = NoPartitions;
    /// <summary>Its groups.</summary>
    public ImmutableSortedSet<string> Groups { get; init; } = NoGroups;
    /// <summary>The last addition to a transaction of this epoch, or its end, of a client without an epoch for each transaction. It
    /// stays when the transaction has ended, since a late addition must not begin another one.</summary>
    public TransactionConnection Connection { get; init; }
    /// <summary>When it began; null where none is open, and none is being ended.</summary>
    public DateTimeOffset? StartedAt { get; init; }
    /// <summary>When the state changed last.</summary>
    public required DateTimeOffset UpdatedAt { get; init; }
    /// <summary>Who ended the last transaction, why, and when.</summary>
    public string? LastEnd { get; init; }
    /// <summary>Who fenced the last earlier instance, why, and when.</summary>
    public string? LastFence { get; init; }
    /// <summary>The last initializations, oldest first, to recognize a repetition of their requests.</summary>
    public ImmutableArray<TransactionInit> Inits { get; init; } = [];
    /// <summary>What the epoch of the coordinator is raised by, since partitions know a higher one.</summary>
    public int EpochBase { get; init; }

    /// <summary>No partitions.</summary>
    public static ImmutableSortedSet<TransactionPartition> NoPartitions { get; } =
        ImmutableSortedSet.Create<TransactionPartition>(PartitionOrder.Instance);

    /// <summary>No groups.</summary>
    public static ImmutableSortedSet<string> NoGroups { get; } = ImmutableSortedSet.Create<string>(StringComparer.Ordinal);

    /// <summary>The producer.</summary>
    public ProducerIdentity Producer => new(ProducerId, Epoch);

    /// <summary>Whether it is decided, and not all of its partitions and groups know.</summary>
    public bool IsEnding => Phase is TransactionPhase.PrepareCommit or TransactionPhase.PrepareAbort;

    /// <summary>Whether no transaction is open or being ended.</summary>
    public bool IsAtRest => Phase is not TransactionPhase.Ongoing && !IsEnding;

    /// <summary>Whether the epoch that follows is for markers alone.</summary>
    public bool IsExhausted => Epoch >= MaxEpoch;

    /// <summary>The producer after the transaction that is being ended.</summary>
    public ProducerIdentity NextProducer => NextProducerId >= 0 ? new(NextProducerId, 0) : Producer;

    /// <summary>Returns the state with no time after now. A coordinator whose clock was ahead wrote those that are: by them a transaction
    /// would stay open, and its id known, for longer than its time.</summary>
    /// <param name="now">The time of the coordinator that reads it.</param>
    public TransactionState NotAfter(DateTimeOffset now) => StartedAt > now || UpdatedAt > now
        ? this with { StartedAt = StartedAt > now ? now : StartedAt, UpdatedAt = UpdatedAt > now ? now : UpdatedAt }
        : this;

    private sealed class PartitionOrder : IComparer<TransactionPartition>
    {
        public static PartitionOrder Instance { get; } = new();

        public int Compare(TransactionPartition one, TransactionPartition other)
        {
            var order = string.CompareOrdinal(one.Topic, other.Topic);
            if (order == 0)
                order = one.Partition.CompareTo(other.Partition);
            return order != 0 ? order : one.TopicId.CompareTo(other.TopicId);
        }
    }
}
