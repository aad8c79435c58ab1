using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// The JSON of the HTTP API, for server and client: camelCase names, read case-insensitively, without reflection. Types of the broker API
/// are sent as they are; the others follow here, and those of clusters and groups have files of their own.
/// </summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ClusterDescription))]
[JsonSerializable(typeof(IReadOnlyList<TopicListing>))]
[JsonSerializable(typeof(TopicListing[]))]
[JsonSerializable(typeof(TopicDescription))]
[JsonSerializable(typeof(ProducerIdentity))]
[JsonSerializable(typeof(AlterClusterBody))]
[JsonSerializable(typeof(ReassignBody))]
[JsonSerializable(typeof(PartitionReassignment))]
[JsonSerializable(typeof(IReadOnlyList<PartitionReassignment>))]
[JsonSerializable(typeof(ElectLeadersBody))]
[JsonSerializable(typeof(IReadOnlyList<LeaderElection>))]
[JsonSerializable(typeof(RebalancePlan))]
[JsonSerializable(typeof(ExecuteRebalanceBody))]
[JsonSerializable(typeof(RebalanceStatus))]
[JsonSerializable(typeof(CreateTopicBody))]
[JsonSerializable(typeof(AlterTopicBody))]
[JsonSerializable(typeof(ProduceResponse))]
[JsonSerializable(typeof(OffsetResponse))]
[JsonSerializable(typeof(DeleteRecordsBody))]
[JsonSerializable(typeof(DeleteRecordsResponse))]
[JsonSerializable(typeof(IReadOnlyList<DeadLetterTopic>))]
[JsonSerializable(typeof(DeadLetterPage))]
[JsonSerializable(typeof(HttpProblem))]
[JsonSerializable(typeof(ProduceLine))]
[JsonSerializable(typeof(ProducedLine))]
[JsonSerializable(typeof(ConsumedLine))]
internal sealed partial class HttpJson : JsonSerializerContext;

/// <summary>The body of <c>PUT /api/topics/{topic}</c>; without a body all values are defaults.</summary>
/// <param name="Partitions">1 to 10,000; null or -1 for the broker's default.</param>
/// <param name="ReplicationFactor">Copies of each partition; null or -1 for the broker's default.</param>
/// <param name="Configs">Kafka's topic configuration keys and values; null for the defaults.</param>
/// <param name="AllowFewerReplicas">Whether the topic is also created while fewer brokers are alive; null for false.</param>
internal sealed record CreateTopicBody(int? Partitions = null, short? ReplicationFactor = null,
    IReadOnlyDictionary<string, string>? Configs = null, bool? AllowFewerReplicas = null);

/// <summary>The body of <c>PATCH /api/topics/{topic}</c>.</summary>
/// <param name="Partitions">The new total number of partitions; null leaves it unchanged.</param>
/// <param name="Configs">Keys to set; a null value removes the topic's own setting. Other keys are unchanged.</param>
internal sealed record AlterTopicBody(int? Partitions = null, IReadOnlyDictionary<string, string?>? Configs = null);

/// <summary>The response to a raw batch.</summary>
/// <param name="BaseOffset">The offset of the batch's first record.</param>
/// <param name="LogAppendTime">Milliseconds since 1970 if the topic stamps LogAppendTime, else -1.</param>
/// <param name="LogStartOffset">The partition's log start offset; -1 if unknown.</param>
internal sealed record ProduceResponse(long BaseOffset, long LogAppendTime = -1, long LogStartOffset = -1);

/// <summary>The response to an offset lookup.</summary>
/// <param name="Offset">The offset; -1 if no record has such a late timestamp.</param>
/// <param name="Timestamp">The record's timestamp in milliseconds since 1970; -1 for earliest and latest.</param>
/// <param name="LeaderEpoch">The leader epoch of the record; -1 if unknown.</param>
internal sealed record OffsetResponse(long Offset, long Timestamp = -1, int LeaderEpoch = -1);

/// <summary>The body of <c>POST .../delete-records</c>.</summary>
/// <param name="BeforeOffset">The new log start offset; -1 for the high watermark.</param>
internal sealed record DeleteRecordsBody(long BeforeOffset);

/// <summary>The response to <c>POST .../delete-records</c>.</summary>
/// <param name="LogStartOffset">The new log start offset, the first that can be read.</param>
internal sealed record DeleteRecordsResponse(long LogStartOffset);

/// <summary>An error as problem details (RFC 9457) with the broker's code.</summary>
/// <param name="Type">A URI that identifies the kind of error; <c>about:blank</c> for none.</param>
/// <param name="Title">The kind of error, for a human reader.</param>
/// <param name="Status">The HTTP status.</param>
/// <param name="Detail">This error: the field or path at fault and how to fix it.</param>
/// <param name="Instance">The requested path.</param>
/// <param name="Code">The name of the <see cref="OrleansMq.ErrorCode"/>.</param>
/// <param name="ErrorCode">The number of the <see cref="OrleansMq.ErrorCode"/>.</param>
/// <param name="Retriable">Whether the same request may succeed later.</param>
internal sealed record HttpProblem(
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
internal sealed record ProduceLine(string? Key = null, string? Value = null, int? Partition = null,
    IReadOnlyDictionary<string, string?>? Headers = null, long? Timestamp = null);

/// <summary>The result for one record: one line of the response to <c>POST /api/topics/{topic}/records</c>.</summary>
/// <param name="Partition">The record's partition; null on error.</param>
/// <param name="Offset">The record's offset; null on error; -1 if acks is 0, where it is unknown.</param>
/// <param name="Error">On error, the field at fault and how to fix it.</param>
/// <param name="Code">On error, the name of the <see cref="OrleansMq.ErrorCode"/>.</param>
internal sealed record ProducedLine(
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
internal sealed record ConsumedLine(int Partition, long Offset, long Timestamp, string? Key, string? Value,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyDictionary<string, string?>? Headers = null);
