using System.Globalization;
using System.Text;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Client;

/// <summary>Reads the headers of dead letters. A record that failed again after it was sent back has those of its latest failure
/// last.</summary>
internal static class LetterHeaders
{
    /// <summary>The most characters of a group that a description has.</summary>
    public const int MaxGroup = 255;
    /// <summary>The most characters of a reason, an exception's type or its message that a description has.</summary>
    public const int MaxText = 1024;

    // A record with more is no dead letter: the headers of one that holds nothing else take twenty times its size in memory.
    private const int MaxHeaders = 10_000;
    private const int MaxNumberBytes = 32;

    /// <summary>Returns the whole text of the last header of a name; null without one.</summary>
    public static string? Last(this IReadOnlyList<RecordHeader> headers, string name) =>
        headers.IndexOf(name) is >= 0 and var at ? headers[at].TextValue() : null;

    /// <summary>Returns the partition and offset that a dead letter came from; null if it does not say.</summary>
    public static (TopicPartition Partition, long Offset)? Source(this IReadOnlyList<RecordHeader> headers) =>
        headers.IndexOf(DeadLetterHeaders.Topic) is >= 0 and var at
        && headers[at].Value is { Length: > 0 and <= TopicName.MaxLength }
        && headers.Number(DeadLetterHeaders.Partition) is >= 0 and <= int.MaxValue and var partition
        && headers.Number(DeadLetterHeaders.Offset) is { } offset
            ? (new TopicPartition(headers[at].TextValue()!, (int)partition), offset) : null;

    /// <summary>Returns a header's number; null if there is none.</summary>
    public static long? Number(this IReadOnlyList<RecordHeader> headers, string name) =>
        headers.IndexOf(name) is >= 0 and var at && headers[at].Value is { Length: <= MaxNumberBytes } value
        && long.TryParse(value.Span, CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>Returns what a dead letter says of itself. Its texts are cut, whatever a client has sent.</summary>
    /// <param name="letter">The record of the dead-letter topic.</param>
    /// <param name="partition">The partition that holds it.</param>
    /// <param name="isRedriven">Whether a redrive has passed it; null if unknown.</param>
    public static DeadLetter Describe(this in Record letter, TopicPartition partition, bool? isRedriven)
    {
        var headers = letter.HeaderCount <= MaxHeaders ? letter.ReadHeaders() : [];
        var source = headers.Source();
        // A dead letter whose own handling fails has headers of both kinds: the later one is valid.
        var hasReason = headers.IndexOf(DeadLetterHeaders.Reason) > headers.IndexOf(DeadLetterHeaders.ExceptionType);
        return new DeadLetter(partition.Partition, letter.Offset, letter.Timestamp, source?.Partition.Topic,
            source?.Partition.Partition ?? -1, source?.Offset ?? -1, headers.Number(DeadLetterHeaders.Timestamp),
            headers.Text(DeadLetterHeaders.Group, MaxGroup) is { Length: > 0 } group ? group : null,
            (int?)headers.Number(DeadLetterHeaders.Attempts),
            hasReason ? headers.Text(DeadLetterHeaders.Reason, MaxText) : null,
            hasReason ? null : headers.Text(DeadLetterHeaders.ExceptionType, MaxText),
            hasReason ? null : headers.Text(DeadLetterHeaders.ExceptionMessage, MaxText),
            (int)(headers.Number(DeadLetterHeaders.Redrives) ?? 0), isRedriven);
    }

    /// <summary>Returns the beginning of a text, which ends with a whole character.</summary>
    public static string Cut(string text, int max) =>
        text.Length <= max ? text : text[..(char.IsHighSurrogate(text[max - 1]) ? max - 1 : max)];

    /// <summary>Returns the beginning of the last header of a name; null without one.</summary>
    private static string? Text(this IReadOnlyList<RecordHeader> headers, string name, int max)
    {
        if (headers.IndexOf(name) is not (>= 0 and var at) || headers[at].Value is not { } value)
            return null;
        // A character takes at most three bytes; the one that is cut is beyond the last one that is kept.
        return Cut(Encoding.UTF8.GetString(value.Span[..Math.Min(value.Length, (3 * max) + 3)]), max);
    }

    /// <summary>Returns the place of the last header of a name; -1 without one.</summary>
    public static int IndexOf(this IReadOnlyList<RecordHeader> headers, string name)
    {
        for (var at = headers.Count - 1; at >= 0; at--)
        {
            if (Ascii.Equals(headers[at].Key.Span, name))
                return at;
        }
        return -1;
    }
}
