using System.Text;
using OrleansMq.Queues;

namespace OrleansMq.Partitions.Cursors;

/// <summary>The reasons that consumers give for dead letters. Pure.</summary>
internal static class DeadLetterReason
{
    /// <summary>Returns the beginning of a reason: at most <see cref="DeadLetterIntent.MostReasonBytes"/> bytes in UTF-8, and whole
    /// characters.</summary>
    public static string? Cut(string? reason)
    {
        if (string.IsNullOrEmpty(reason))
            return null;
        Span<byte> bytes = stackalloc byte[DeadLetterIntent.MostReasonBytes];
        Encoding.UTF8.GetEncoder().Convert(reason, bytes, flush: true, out var used, out _, out _);
        return used == reason.Length ? reason : reason[..used];
    }
}
