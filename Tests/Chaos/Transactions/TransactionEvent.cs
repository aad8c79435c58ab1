using System.Globalization;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>The kinds of event.</summary>
internal enum TransactionEventKind
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>A producer has its transactional id for itself: id, instance, time before it asked.</summary>
    Initialised,
    /// <summary>A value is about to be sent: transaction, topic, partition, value, and the value it is a copy of, or a dash.</summary>
    Sending,
    /// <summary>The broker told the offset of a value: topic, partition, offset, value.</summary>
    Stored,
    /// <summary>The end of a transaction is about to be asked for: transaction, Commit or Abort.</summary>
    Asking,
    /// <summary>The end of a transaction was answered: transaction, Commit or Abort.</summary>
    Ended,
    /// <summary>A reader that reads partitions from their start saw a value: reader, topic, partition, offset, value.</summary>
    Read,
    /// <summary>A member of a group saw a value, which may come again: reader, topic, partition, offset, value.</summary>
    Polled,
    /// <summary>A reader learned the last stable offset from a leader: reader, topic, partition, the leader's epoch, offset. The epoch is
    /// -1 where it is not known.</summary>
    Stable,
    /// <summary>An administrator was told the end of a partition: topic, partition, Committed or All, time before it asked, the leader's
    /// epoch or -1, offset.</summary>
    End,
    /// <summary>An administrator was told which producers have a transaction open in a partition: topic, partition, time before it asked,
    /// ID@OFFSET,... or a dash.</summary>
    Open,
    /// <summary>An administrator was told of a transactional id: id, time before it asked, producer id, epoch, number of its last
    /// transaction or -1, phase. The producer id is -1 where the id is not known.</summary>
    Described,
    /// <summary>An administrator was told all transactional ids: time before it asked, ID=PHASE,... or a dash.</summary>
    Listed,
}

/// <summary>What a client did or saw, as a line of its output. The times are of the machine's one monotonic clock.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Nanos">When; of what was asked a time before, of what was answered one after.</param>
/// <param name="Words">What belongs to the kind.</param>
internal sealed record TransactionEvent(TransactionEventKind Kind, long Nanos, IReadOnlyList<string> Words)
{
    private const string Mark = "transaction-event";

    /// <summary>The event as a line.</summary>
    public string ToLine() => string.Create(CultureInfo.InvariantCulture, $"{Mark} {Kind} {Nanos} {string.Join(' ', Words)}");

    /// <summary>Reads a line; null if it is no event, or one whose writer was killed within it.</summary>
    public static TransactionEvent? Parse(string line)
    {
        var parts = line.Split(' ');
        return parts is [Mark, var kind, var nanos, ..] && Enum.TryParse<TransactionEventKind>(kind, out var known)
            && long.TryParse(nanos, CultureInfo.InvariantCulture, out var time) && parts.Length - 3 == CountOf(known)
            ? new TransactionEvent(known, time, parts[3..]) : null;
    }

    private static int CountOf(TransactionEventKind kind) => kind switch
    {
        TransactionEventKind.Initialised => 3,
        TransactionEventKind.Asking or TransactionEventKind.Ended or TransactionEventKind.Listed => 2,
        TransactionEventKind.Stored or TransactionEventKind.Open => 4,
        TransactionEventKind.End or TransactionEventKind.Described => 6,
        _ => 5,
    };
}

/// <summary>A record's place.</summary>
internal readonly record struct Place(string Topic, int Partition, long Offset) : IComparable<Place>
{
    public int CompareTo(Place other) => (Topic, Partition, Offset).CompareTo((other.Topic, other.Partition, other.Offset));

    public override string ToString() => $"{Topic}-{Partition} at {Offset}";

    public static bool operator <(Place left, Place right) => left.CompareTo(right) < 0;
    public static bool operator >(Place left, Place right) => left.CompareTo(right) > 0;
    public static bool operator <=(Place left, Place right) => left.CompareTo(right) <= 0;
    public static bool operator >=(Place left, Place right) => left.CompareTo(right) >= 0;
}
