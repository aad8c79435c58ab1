using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Clusters;
using OrleansMq.Grains.Coordination;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Storage;

/// <summary>The document format of all grains, the same in files and in a database.</summary>
internal static class StateDocuments
{
    /// <summary>The engine's JSON options for every document.</summary>
    public static JsonSerializerOptions Json { get; } = new(TopicJson.Default.Options)
    {
        TypeInfoResolver = JsonTypeInfoResolver.Combine(TopicJson.Default, ReplicationJson.Default, ClusterJson.Default,
            CoordinatorStateJson.Default),
    };
}
