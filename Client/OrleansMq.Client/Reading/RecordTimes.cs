namespace OrleansMq.Client;

/// <summary>Times of records. A producer may write any number.</summary>
internal static class RecordTimes
{
    private static readonly long s_first = DateTimeOffset.MinValue.ToUnixTimeMilliseconds();
    private static readonly long s_last = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    /// <summary>Returns milliseconds since 1970 as UTC time; the first or last one that there is where they are out of its range.</summary>
    public static DateTimeOffset Of(long timestamp) => DateTimeOffset.FromUnixTimeMilliseconds(Math.Clamp(timestamp, s_first, s_last));
}
