using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client.Http;

/// <summary>The names shared by the HTTP API and its clients: paths, media types, headers and query values.</summary>
public static class HttpContract
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

    /// <summary>The type of an election of preferred leaders.</summary>
    public const string PreferredElection = "preferred";
    /// <summary>The type of an election that may lose acknowledged records.</summary>
    public const string UncleanElection = "unclean";

    /// <summary>Formats the query value of <c>acks</c>: <c>0</c>, <c>1</c> or <c>all</c>.</summary>
    public static string Format(Acks acks) => acks switch
    {
        Acks.None => "0",
        Acks.Leader => "1",
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

    /// <summary>Formats the query value of <c>at</c>: <c>earliest</c>, <c>latest</c>, <c>max-timestamp</c>, or milliseconds since
    /// 1970.</summary>
    public static string Format(OffsetSpec spec) =>
        spec == OffsetSpec.Earliest ? "earliest"
        : spec == OffsetSpec.Latest ? "latest"
        : spec == OffsetSpec.MaxTimestamp ? "max-timestamp"
        : spec.Value.ToString(System.Globalization.CultureInfo.InvariantCulture);

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

/// <summary>The body of <c>PUT /api/topics/{topic}</c>; without a body all values are defaults.</summary>
/// <param name="Partitions">1 to 10,000; null or -1 for the broker's default.</param>
/// <param name="ReplicationFactor">Copies of each partition; null or -1 for the broker's default.</param>
/// <param name="Configs">Kafka's topic configuration keys and values; null for the defaults.</param>
public sealed record CreateTopicBody(int? Partitions = null, short? ReplicationFactor = null,
    IReadOnlyDictionary<string, string>? Configs = null);

/// <summary>The body of <c>PATCH /api/topics/{topic}</c>.</summary>
/// <param name="Partitions">The new total number of partitions; null leaves it unchanged.</param>
/// <param name="Configs">Keys to set; a null value removes the topic's own setting. Other keys are unchanged.</param>
public sealed record AlterTopicBody(int? Partitions = null, IReadOnlyDictionary<string, string?>? Configs = null);

/// <summary>The response to a raw batch.</summary>
/// <param name="BaseOffset">The offset of the batch's first record.</param>
/// <param name="LogAppendTime">Milliseconds since 1970 if the topic stamps LogAppendTime, else -1.</param>
/// <param name="LogStartOffset">The partition's log start offset; -1 if unknown.</param>
public sealed record ProduceResponse(long BaseOffset, long LogAppendTime = -1, long LogStartOffset = -1);

/// <summary>The response to an offset lookup.</summary>
/// <param name="Offset">The offset; -1 if no record has such a late timestamp.</param>
/// <param name="Timestamp">The record's timestamp in milliseconds since 1970; -1 for earliest and latest.</param>
/// <param name="LeaderEpoch">The leader epoch of the record; -1 if unknown.</param>
public sealed record OffsetResponse(long Offset, long Timestamp = -1, int LeaderEpoch = -1);

/// <summary>The body of <c>POST .../delete-records</c>.</summary>
/// <param name="BeforeOffset">The new log start offset; -1 for the high watermark.</param>
public sealed record DeleteRecordsBody(long BeforeOffset);

/// <summary>The response to <c>POST .../delete-records</c>.</summary>
/// <param name="LogStartOffset">The new log start offset, the first that can be read.</param>
public sealed record DeleteRecordsResponse(long LogStartOffset);

/// <summary>An error as problem details (RFC 9457) with the broker's code.</summary>
/// <param name="Type">A URI that identifies the kind of error; <c>about:blank</c> for none.</param>
/// <param name="Title">The kind of error, for a human reader.</param>
/// <param name="Status">The HTTP status.</param>
/// <param name="Detail">This error: the field or path at fault and how to fix it.</param>
/// <param name="Instance">The requested path.</param>
/// <param name="Code">The name of the <see cref="OrleansMq.ErrorCode"/>.</param>
/// <param name="ErrorCode">The number of the <see cref="OrleansMq.ErrorCode"/>.</param>
/// <param name="Retriable">Whether the same request may succeed later.</param>
public sealed record HttpProblem(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Type,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Title,
    int? Status,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Detail,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Instance,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Code,
    short? ErrorCode,
    bool? Retriable)
{
    /// <summary>Creates the problem for an error of the broker.</summary>
    public static HttpProblem For(OrleansMq.ErrorCode code, string? detail, int status, string? instance = null) =>
        new("about:blank", code.ToString(), status, detail, instance, code.ToString(), (short)code, code.Action() == ErrorAction.Retry);
}

/// <summary>A record to produce: one line of <c>POST /api/topics/{topic}/records</c>.</summary>
/// <param name="Key">The key in the request's encoding; null for none.</param>
/// <param name="Value">The value in the request's encoding; null is a tombstone.</param>
/// <param name="Partition">The partition; null to choose by key, or in turn without a key.</param>
/// <param name="Headers">Names and values; the values are in the request's encoding.</param>
/// <param name="Timestamp">Milliseconds since 1970; null for now.</param>
public sealed record ProduceLine(string? Key = null, string? Value = null, int? Partition = null,
    IReadOnlyDictionary<string, string?>? Headers = null, long? Timestamp = null);

/// <summary>The result for one record: one line of the response to <c>POST /api/topics/{topic}/records</c>.</summary>
/// <param name="Partition">The record's partition; null on error.</param>
/// <param name="Offset">The record's offset; null on error; -1 if acks is 0, where it is unknown.</param>
/// <param name="Error">On error, the field at fault and how to fix it.</param>
/// <param name="Code">On error, the name of the <see cref="OrleansMq.ErrorCode"/>.</param>
public sealed record ProducedLine(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Partition,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? Offset,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Error = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Code = null);

/// <summary>A record that was read: one line of <c>GET .../records</c>.</summary>
/// <param name="Partition">The record's partition.</param>
/// <param name="Offset">The record's offset.</param>
/// <param name="Timestamp">Milliseconds since 1970.</param>
/// <param name="Key">The key in the request's encoding; null for none.</param>
/// <param name="Value">The value in the request's encoding; null is a tombstone.</param>
/// <param name="Headers">Names and values (the last one of a duplicate name); null for none.</param>
public sealed record ConsumedLine(int Partition, long Offset, long Timestamp, string? Key, string? Value,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyDictionary<string, string?>? Headers = null);
