using System.Globalization;

namespace OrleansMq.Client;

/// <summary>Reads the headers of dead letters. A record that failed again after it was sent back has those of its latest failure
/// last.</summary>
internal static class LetterHeaders
{
    /// <summary>Returns the text of the last header of a name; null without one.</summary>
    public static string? Last(this in ConsumeResult<byte[]?, byte[]?> letter, string name) =>
        letter.IndexOf(name) is >= 0 and var at ? letter.Headers[at].TextValue() : null;

    /// <summary>Returns the partition and offset that a dead letter came from; null if it does not say.</summary>
    public static (TopicPartition Partition, long Offset)? Source(this in ConsumeResult<byte[]?, byte[]?> letter) =>
        letter.Last(DeadLetterHeaders.Topic) is { Length: > 0 } topic
        && letter.Number(DeadLetterHeaders.Partition) is >= 0 and <= int.MaxValue and var partition
        && letter.Number(DeadLetterHeaders.Offset) is { } offset
            ? (new TopicPartition(topic, (int)partition), offset) : null;

    /// <summary>Returns a header's number; null if there is none.</summary>
    public static long? Number(this in ConsumeResult<byte[]?, byte[]?> letter, string name) =>
        long.TryParse(letter.Last(name), CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>Returns what a dead letter says of itself.</summary>
    /// <param name="letter">The record of the dead-letter topic.</param>
    /// <param name="isRedriven">Whether a redrive has passed it; null if unknown.</param>
    public static DeadLetter Describe(this in ConsumeResult<byte[]?, byte[]?> letter, bool? isRedriven)
    {
        var source = letter.Source();
        var reason = letter.Last(DeadLetterHeaders.Reason);
        // A dead letter whose own handling fails has headers of both kinds: the later one is valid.
        if (reason is not null && letter.IndexOf(DeadLetterHeaders.ExceptionType) > letter.IndexOf(DeadLetterHeaders.Reason))
            reason = null;
        return new DeadLetter(letter.TopicPartition.Partition, letter.Offset, letter.Timestamp, source?.Partition.Topic,
            source?.Partition.Partition ?? -1, source?.Offset ?? -1, letter.Number(DeadLetterHeaders.Timestamp),
            letter.Last(DeadLetterHeaders.Group) is { Length: > 0 } group ? group : null,
            (int?)letter.Number(DeadLetterHeaders.Attempts), reason,
            reason is null ? letter.Last(DeadLetterHeaders.ExceptionType) : null,
            reason is null ? letter.Last(DeadLetterHeaders.ExceptionMessage) : null,
            (int)(letter.Number(DeadLetterHeaders.Redrives) ?? 0), isRedriven);
    }

    private static int IndexOf(this in ConsumeResult<byte[]?, byte[]?> letter, string name)
    {
        for (var at = letter.Headers.Count - 1; at >= 0; at--)
        {
            if (letter.Headers[at].Name() == name)
                return at;
        }
        return -1;
    }
}
