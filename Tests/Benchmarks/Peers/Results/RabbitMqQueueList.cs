using System.Text.Json;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>Parses the JSON of <c>rabbitmqctl list_queues name leader online</c>.</summary>
internal static class RabbitMqQueueList
{
    /// <summary>Returns the node that leads a quorum queue, or null, and how many of its replicas run.</summary>
    /// <param name="json">What it printed.</param>
    /// <param name="queue">The queue. One that is not listed has no replica.</param>
    public static (string? Leader, int Replicas) Find(string json, string queue)
    {
        using var document = JsonDocument.Parse(json);
        foreach (var row in document.RootElement.EnumerateArray())
        {
            if (row.GetProperty("name").GetString() == queue)
                return (Leader(row), row.GetProperty("online") is { ValueKind: JsonValueKind.Array } online ? online.GetArrayLength() : 0);
        }
        return (null, 0);
    }

    // Empty while an election takes place.
    private static string? Leader(JsonElement row) =>
        row.GetProperty("leader") is { ValueKind: JsonValueKind.String } leader && leader.GetString() is { Length: > 0 } name ? name : null;
}
