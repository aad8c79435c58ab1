using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client.Http;

/// <summary>
/// The JSON of the HTTP API, for both ends: camelCase names, read without regard to case, no reflection. What the broker API returns goes
/// over the wire as it is; the rest is in <see cref="HttpContract"/>'s neighbours.
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
