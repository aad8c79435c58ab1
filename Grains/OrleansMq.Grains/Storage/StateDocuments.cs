using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Clusters;
using OrleansMq.Grains.Groups;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Storage;

/// <summary>How the documents of all grains are written, into files as into a database.</summary>
internal static class StateDocuments
{
    /// <summary>The engine's own JSON of every document.</summary>
    public static JsonSerializerOptions Json { get; } = new(TopicJson.Default.Options)
    {
        TypeInfoResolver = JsonTypeInfoResolver.Combine(TopicJson.Default, ReplicationJson.Default, ClusterJson.Default,
            GroupStateJson.Default),
    };
}
