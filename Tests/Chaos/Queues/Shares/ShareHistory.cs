using System.Globalization;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues.Shares;

/// <summary>What a member of a share group saw of a record, as a line of its output.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Offset">The record's offset.</param>
/// <param name="Id">Its identity.</param>
/// <param name="Nanos">Of a delivery, a time before the record was fetched; of a settlement, one after it was answered.</param>
internal readonly record struct ShareEvent(QueueEventKind Kind, int Partition, long Offset, RecordId Id, long Nanos)
{
    private const string Mark = "share-event";

    /// <summary>Reads a line; null if it is no event.</summary>
    public static ShareEvent? Parse(string line)
    {
        var parts = line.Split(' ');
        return parts is not [Mark, ..] ? null : new ShareEvent(Enum.Parse<QueueEventKind>(parts[1]), (int)Long(2), Long(3),
            new RecordId((int)Long(4), Long(5)), Long(7));

        long Long(int index) => long.Parse(parts[index], CultureInfo.InvariantCulture);
    }
}

/// <summary>Everything that the members of a share group saw, judged against what was sent. The times are of the machine's one monotonic
/// clock. Thread safe.</summary>
internal sealed class ShareHistory(Ledger ledger, Violations violations)
{
    // The default of share.delivery.count.limit: deaths of its consumers may end a record.
    private const int MostDeliveries = 5;

    private readonly Lock _lock = new();
    private readonly Dictionary<(int Partition, long Offset), Story> _stories = [];

    /// <summary>Deliveries of records.</summary>
    public long Delivered { get; private set; }

    /// <summary>Takes an event.</summary>
    public void Take(ShareEvent seen)
    {
        lock (_lock)
        {
            if (!_stories.TryGetValue((seen.Partition, seen.Offset), out var story))
                _stories[(seen.Partition, seen.Offset)] = story = new Story();
            switch (seen.Kind)
            {
                case QueueEventKind.Delivered:
                    Delivered++;
                    story.Deliveries++;
                    story.LastFetch = Math.Max(story.LastFetch, seen.Nanos);
                    if (ledger.Find(seen.Partition, seen.Id) is not { } sent || sent.Outcome == Outcome.Refused
                        || (sent.Outcome == Outcome.Acknowledged && sent.Offset >= 0 && sent.Offset != seen.Offset))
                        violations.Report(ViolationKind.NeverSent,
                            $"the share group's partition {seen.Partition}, offset {seen.Offset} is {seen.Id}, which was not sent there.");
                    break;
                case QueueEventKind.Tried:
                    story.IsTried = true;
                    break;
                default:
                    story.Settled = Math.Min(story.Settled, seen.Nanos);
                    break;
            }
        }
    }

    /// <summary>The acknowledged records that no member has accepted or rejected.</summary>
    public IReadOnlyList<string> Missing(int partitions)
    {
        lock (_lock)
        {
            return [.. Enumerable.Range(0, partitions).SelectMany(partition => ledger.Of(partition).SelectMany(sent =>
                sent.Entries.Select((entry, number) => (partition, entry, Id: new RecordId(sent.Producer, number)))))
                .Where(static record => record.entry is { Outcome: Outcome.Acknowledged, Offset: >= 0 })
                .Where(record => _stories.GetValueOrDefault((record.partition, record.entry.Offset))
                    is not ({ IsTried: true } or { Deliveries: >= MostDeliveries }))
                .Select(record => $"{record.Id}, acknowledged in partition {record.partition} at offset {record.entry.Offset}, "
                    + (_stories.ContainsKey((record.partition, record.entry.Offset)) ? "delivered" : "never delivered"))];
        }
    }

    /// <summary>Judges what was settled.</summary>
    public void Judge()
    {
        lock (_lock)
        {
            foreach (var ((partition, offset), story) in _stories)
            {
                if (story.LastFetch > story.Settled)
                    violations.Report(ViolationKind.SettledAgain, $"the share group's partition {partition}, offset {offset} was settled "
                        + $"at {story.Settled}, and fetched again after {story.LastFetch}.");
            }
        }
    }

    /// <summary>What is known of a record.</summary>
    private sealed class Story
    {
        public int Deliveries { get; set; }
        public bool IsTried { get; set; }
        public long LastFetch { get; set; } = long.MinValue;
        public long Settled { get; set; } = long.MaxValue;
    }
}
