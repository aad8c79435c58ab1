using System.Globalization;
using System.Text;
using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>What dead letters say of their records. Pure.</summary>
internal static class Letters
{
    /// <summary>Returns a letter's headers: the record's own, and where it came from, and why it is here.</summary>
    public static RecordHeader[] HeadersOf(DeadLetterSource source, in DeadLetter letter)
    {
        var (intent, record) = (letter.Intent, letter.Record);
        return
        [
            .. record.HeaderCount == 0 ? [] : record.ReadHeaders(),
            Text(DeadLetterHeaderNames.Topic, source.Partition.Topic),
            Number(DeadLetterHeaderNames.Partition, source.Partition.Partition),
            Number(DeadLetterHeaderNames.Offset, intent.Offset),
            Number(DeadLetterHeaderNames.Timestamp, record.Timestamp),
            Text(DeadLetterHeaderNames.Group, source.Name[(source.Name.IndexOf('/', StringComparison.Ordinal) + 1)..]),
            Number(DeadLetterHeaderNames.Attempts, intent.Counts.Deliveries),
            Text(DeadLetterHeaderNames.Reason, intent.Reason ?? Describe(intent)),
            Text(DeadLetterHeaderNames.Cause, NameOf(intent.Cause)),
            Number(DeadLetterHeaderNames.DecidedAt, intent.DecidedAt),
        ];
    }

    /// <summary>Whether a letter would go round in a circle: it came from the target's topic before, and no consumer has refused it
    /// since.</summary>
    /// <param name="letter">The letter.</param>
    /// <param name="topic">The target's topic.</param>
    public static bool IsCycle(in DeadLetter letter, string topic)
    {
        if (IsRefusal(NameOf(letter.Intent.Cause)) || letter.Record.HeaderCount == 0)
            return false;
        var hasCome = false;
        foreach (var header in letter.Record.ReadHeaders())
        {
            if (Is(header, DeadLetterHeaderNames.Topic))
                hasCome |= header.Value is { } from && Encoding.UTF8.GetString(from.Span) == topic;
            // The cause follows the topic of the same journey. Consumer groups, which refuse, write none.
            else if (Is(header, DeadLetterHeaderNames.Cause) && header.Value is { } cause && IsRefusal(Encoding.UTF8.GetString(cause.Span)))
                hasCome = false;
        }
        return hasCome;
    }

    private static bool IsRefusal(string cause) => cause is "rejected" or "failed";

    private static string NameOf(SettlementCause cause) => cause switch
    {
        SettlementCause.Rejected => "rejected",
        SettlementCause.DeliveryLimit => "failed",
        SettlementCause.Expired => "expired",
        SettlementCause.LengthLimit => "overflow",
        _ => "unknown",
    };

    private static string Describe(DeadLetterIntent intent) => intent.Cause switch
    {
        SettlementCause.Rejected => "A consumer rejected it.",
        SettlementCause.DeliveryLimit => $"It was delivered {intent.Counts.Deliveries} times, and failed {intent.Counts.Failures} times.",
        SettlementCause.Expired => "Its time to live has passed.",
        SettlementCause.LengthLimit => "The queue was full.",
        _ => $"{intent.Cause}",
    };

    private static bool Is(in RecordHeader header, string name) => Ascii.Equals(header.Key.Span, name);

    private static RecordHeader Number(string name, long value) => Text(name, value.ToString(CultureInfo.InvariantCulture));

    private static RecordHeader Text(string name, string value) => new(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value));
}
