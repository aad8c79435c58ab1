
namespace OrleansMq.Client;

/// <summary>The names shared by the HTTP API and its clients: paths, media types, headers and query values.</summary>
internal static class HttpContract
{
    /// <summary>The media type of one raw record batch (format v2), or of several back to back.</summary>
    public const string RecordBatchMediaType = "application/vnd.orleansmq.record-batch";
    /// <summary>The media type of an error (RFC 9457).</summary>
    public const string ProblemMediaType = "application/problem+json";
    /// <summary>The media type of records as lines of JSON.</summary>
    public const string JsonLinesMediaType = "application/x-ndjson";
    /// <summary>The response header of a read with the partition's high watermark.</summary>
    public const string HighWatermarkHeader = "Omq-High-Watermark";
    /// <summary>The response header of a read with the partition's last stable offset.</summary>
    public const string LastStableOffsetHeader = "Omq-Last-Stable-Offset";
    /// <summary>The response header of a read with the partition's log start offset.</summary>
    public const string LogStartOffsetHeader = "Omq-Log-Start-Offset";
    /// <summary>The response header of a read that is out of range, with the epoch of the leader that answered.</summary>
    public const string LeaderEpochHeader = "Omq-Leader-Epoch";

    /// <summary>The type of an election of preferred leaders.</summary>
    public const string PreferredElection = "preferred";
    /// <summary>The type of an election that may lose acknowledged records.</summary>
    public const string UncleanElection = "unclean";

    /// <summary>Formats the query value of <c>acks</c>: <c>0</c>, <c>1</c>, <c>replicated</c> or <c>all</c>.</summary>
    public static string Format(Acks acks) => acks switch
    {
        Acks.None => "0",
        Acks.Leader => "1",
        Acks.Replicated => "replicated",
        _ => "all",
    };

    /// <summary>Parses the query value of <c>acks</c>; null and empty mean <c>all</c>, and so does <c>-1</c>.</summary>
    public static bool TryParseAcks(string? text, out Acks acks)
    {
        (var known, acks) = text switch
        {
            null or "" or "all" or "-1" => (true, Acks.All),
            "1" => (true, Acks.Leader),
            "0" => (true, Acks.None),
            "replicated" => (true, Acks.Replicated),
            _ => (false, Acks.All),
        };
        return known;
    }

    /// <summary>Formats the query value of <c>isolation</c>: <c>read_uncommitted</c> or <c>read_committed</c>.</summary>
    public static string Format(IsolationLevel isolation) =>
        isolation == IsolationLevel.ReadCommitted ? "read_committed" : "read_uncommitted";

    /// <summary>Parses the query value of <c>isolation</c>; null and empty mean <c>read_uncommitted</c>.</summary>
    public static bool TryParseIsolation(string? text, out IsolationLevel isolation)
    {
        (var known, isolation) = text switch
        {
            null or "" or "read_uncommitted" => (true, IsolationLevel.ReadUncommitted),
            "read_committed" => (true, IsolationLevel.ReadCommitted),
            _ => (false, IsolationLevel.ReadUncommitted),
        };
        return known;
    }

    /// <summary>Formats the query value of <c>at</c>: <c>earliest</c>, <c>latest</c>, <c>latest-proven</c>, <c>max-timestamp</c>, or
    /// milliseconds since 1970.</summary>
    public static string Format(OffsetSpec spec) =>
        spec.IsAt(OffsetSpec.Earliest) ? "earliest"
        : spec.IsAt(OffsetSpec.Latest) ? "latest"
        : spec.IsAt(OffsetSpec.LatestProven) ? "latest-proven"
        : spec.IsAt(OffsetSpec.MaxTimestamp) ? "max-timestamp"
        : spec.Value.ToString(System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Formats where a queue begins: <c>earliest</c>, <c>latest</c>, milliseconds since 1970, or <c>offset:</c> and an
    /// offset.</summary>
    public static string FormatQueueStart(OffsetSpec start) =>
        start.Offset is { } offset ? OffsetPrefix + offset.ToString(System.Globalization.CultureInfo.InvariantCulture) : Format(start);

    /// <summary>Parses where a queue begins.</summary>
    public static bool TryParseQueueStart(string? text, out OffsetSpec start)
    {
        if (text?.StartsWith(OffsetPrefix, StringComparison.Ordinal) != true)
            return TryParseOffsetSpec(text, out start) && start != OffsetSpec.MaxTimestamp && start != OffsetSpec.LatestProven;
        var isOffset = long.TryParse(text.AsSpan(OffsetPrefix.Length), System.Globalization.NumberStyles.None,
            System.Globalization.CultureInfo.InvariantCulture, out var offset) && offset <= 1L << 62;
        start = isOffset ? OffsetSpec.AtOffset(offset) : default;
        return isOffset;
    }

    private const string OffsetPrefix = "offset:";

    /// <summary>Parses the query value of <c>at</c>; a number below 0 is rejected.</summary>
    public static bool TryParseOffsetSpec(string? text, out OffsetSpec spec)
    {
        switch (text)
        {
            case "earliest":
                spec = OffsetSpec.Earliest;
                return true;
            case "latest":
                spec = OffsetSpec.Latest;
                return true;
            case "latest-proven":
                spec = OffsetSpec.LatestProven;
                return true;
            case "max-timestamp":
                spec = OffsetSpec.MaxTimestamp;
                return true;
        }
        var known = long.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture,
            out var milliseconds);
        spec = OffsetSpec.AtOrAfter(milliseconds);
        return known;
    }
}
