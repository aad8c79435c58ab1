using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>The kinds of event.</summary>
internal enum QueueEventKind
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>A record was delivered.</summary>
    Delivered,
    /// <summary>A request that settles records is about to be sent.</summary>
    Tried,
    /// <summary>The broker answered that records are settled.</summary>
    Settled,
}

/// <summary>The place of a delivery in a queue's history: leader epoch, then number. A leader numbers its deliveries upwards.</summary>
internal readonly record struct LockPlace(int Epoch, long Number) : IComparable<LockPlace>
{
    public static LockPlace Of(QueueLock held) => new(held.LeaderEpoch, held.Number);

    public int CompareTo(LockPlace other) => (Epoch, Number).CompareTo((other.Epoch, other.Number));

    public override string ToString() => $"{Epoch}/{Number}";

    public static bool operator <(LockPlace left, LockPlace right) => left.CompareTo(right) < 0;
    public static bool operator >(LockPlace left, LockPlace right) => left.CompareTo(right) > 0;
    public static bool operator <=(LockPlace left, LockPlace right) => left.CompareTo(right) <= 0;
    public static bool operator >=(LockPlace left, LockPlace right) => left.CompareTo(right) >= 0;
}

/// <summary>What a consumer saw, as a line of its output.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Queue">The queue.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Lock">The delivery.</param>
/// <param name="First">The offset of the first record.</param>
/// <param name="Last">That of the last.</param>
internal readonly record struct QueueEvent(QueueEventKind Kind, string Queue, int Partition, LockPlace Lock, long First, long Last)
{
    private const string Mark = "queue-event";

    /// <summary>What was done; unknown for a delivery.</summary>
    public QueueAction Action { get; init; }

    /// <summary>The delivered record's identity; null if its value was never sent.</summary>
    public RecordId? Id { get; init; }

    /// <summary>Of a delivery, when the consumer had it, in milliseconds since 1970.</summary>
    public long At { get; init; }

    /// <summary>Of a delivery, the time before which the record is not to be delivered, as its header tells it; 0 for none.</summary>
    public long DeliverAt { get; init; }

    /// <summary>The event as a line.</summary>
    public string ToLine() => string.Create(CultureInfo.InvariantCulture, $"{Mark} {Kind} {Queue} {Partition} {Lock.Epoch} {Lock.Number} "
        + $"{First} {Last} {Action} {Id?.Producer ?? -1} {Id?.Number ?? -1} {At} {DeliverAt}");

    /// <summary>Reads a line; null if it is no event.</summary>
    public static QueueEvent? Parse(string line)
    {
        var parts = line.Split(' ');
        if (parts is not [Mark, ..])
            return null;
        var producer = int.Parse(parts[9], CultureInfo.InvariantCulture);
        return new QueueEvent(Enum.Parse<QueueEventKind>(parts[1]), parts[2], int.Parse(parts[3], CultureInfo.InvariantCulture),
            new LockPlace(int.Parse(parts[4], CultureInfo.InvariantCulture), Long(5)), Long(6), Long(7))
        {
            Action = Enum.Parse<QueueAction>(parts[8]),
            Id = producer < 0 ? null : new RecordId(producer, Long(10)),
            At = Long(11),
            DeliverAt = Long(12),
        };

        long Long(int index) => long.Parse(parts[index], CultureInfo.InvariantCulture);
    }
}
