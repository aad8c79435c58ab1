using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client.Http;

/// <summary>
/// The JSON of the HTTP API, for server and client: camelCase names, read case-insensitively, without reflection. Types of the broker API
/// are sent as they are; the others are in <see cref="HttpContract"/>'s file and beside it.
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
[JsonSerializable(typeof(HttpProblem))]
[JsonSerializable(typeof(ProduceLine))]
[JsonSerializable(typeof(ProducedLine))]
[JsonSerializable(typeof(ConsumedLine))]
public sealed partial class HttpJson : JsonSerializerContext;
