using System.Text;
using OrleansMq.Api;
using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>Ids of schedules, made of the id of a timer and its grain: <c>closing@order/42</c>. An '@' of the timer's id is written as
/// <c>%40</c>, so that the first one ends it. Where the grain's name is too long for that, or is no name, its hash stands for it.</summary>
internal static class TimerIds
{
    /// <summary>The most characters of a timer's id.</summary>
    public const int MaxLength = 120;

    private const char Separator = '@';
    private const char Hashed = '#';
    private const int HashLength = 32;
    private const int MaxWritten = NewSchedule.MaxIdLength - 1 - 1 - HashLength;

    private static readonly UTF8Encoding StrictText = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Returns the id of a timer's schedule.</summary>
    /// <exception cref="ArgumentException">The id is out of its range.</exception>
    public static string ScheduleOf(GrainId grain, string id)
    {
        if (id.Length is 0 or > MaxLength)
            throw new ArgumentException($"The id of a timer has 1 to {MaxLength} characters, not {id.Length}.", nameof(id));
        var written = Written(id);
        if (written.Length > MaxWritten)
        {
            throw new ArgumentException($"The id of a timer has '@' and '%', which count for three characters: it has then "
                + $"{written.Length}, and at most {MaxWritten} are allowed.", nameof(id));
        }
        var most = NewSchedule.MaxIdLength - written.Length - 1;
        return $"{written}{Separator}{NameOf(grain, most)}";
    }

    /// <summary>Reads the id of a schedule.</summary>
    /// <param name="schedule">The schedule's id.</param>
    /// <param name="id">The timer's id.</param>
    /// <param name="grain">The grain; null: only its hash is known.</param>
    /// <returns>Whether it is one of a timer.</returns>
    public static bool TryRead(string schedule, out string id, out GrainId? grain)
    {
        grain = null;
        var end = schedule.IndexOf(Separator, StringComparison.Ordinal);
        id = end <= 0 ? "" : schedule[..end].Replace("%40", "@", StringComparison.Ordinal).Replace("%25", "%", StringComparison.Ordinal);
        // Who may schedule for the topic may have chosen any id. No timer has one that is not written so.
        if (id.Length is 0 or > MaxLength || end > MaxWritten || schedule[..end] != Written(id))
            return false;
        var name = schedule[(end + 1)..];
        if (name.StartsWith(Hashed))
            return true;
        if (!GrainId.TryParse(name, null, out var found))
            return false;
        grain = found;
        return true;
    }

    private static string Written(string id) =>
        id.Replace("%", "%25", StringComparison.Ordinal).Replace("@", "%40", StringComparison.Ordinal);

    private static string NameOf(GrainId grain, int most)
    {
        var bytes = TimerRecords.KeyOf(grain);
        if (bytes.Length <= most * 3 && TextOf(bytes) is { } text && text.Length <= most && !text.StartsWith(Hashed)
            && !text.Any(char.IsControl))
            return text;
        return $"{Hashed}{Hashes.Of(bytes):N}";
    }

    private static string? TextOf(byte[] bytes)
    {
        try
        {
            return StrictText.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }
}
