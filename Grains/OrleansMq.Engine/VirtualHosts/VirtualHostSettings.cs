using System.Collections.Immutable;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// A virtual host's own document, <c>vhost/name</c>: all but exchanges, queues and bindings. It exists as long as the virtual host does. A
/// deletion removes it last, after the shards; a crash before leaves a virtual host with fewer queues, whose deletion is repeated.
/// </summary>
internal sealed record VirtualHostSettings
{
    /// <summary>The type of the documents: the first half of their keys.</summary>
    public const string StoreType = "vhost";

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>What it is for.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Description { get; init; }

    /// <summary>Tags of the operator.</summary>
    public ImmutableArray<string> Tags { get; init; } = [];

    /// <summary>The type of durable queues that do not name one; null for classic.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public QueueType? DefaultQueueType { get; init; }

    /// <summary>The most queues; null for no limit. Those beyond a limit that is set later stay.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? MaxQueues { get; init; }

    /// <summary>The most connections of each broker; null for no limit, 0 for none at all. Those beyond a limit that is set later
    /// stay.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? MaxConnections { get; init; }

    /// <summary>Whether it has a limit.</summary>
    [JsonIgnore]
    public bool IsLimited => MaxQueues is not null || MaxConnections is not null;

    /// <summary>The policies.</summary>
    public PolicySet Policies { get; init; } = PolicySet.Empty;

    /// <summary>The permissions by user.</summary>
    public ImmutableSortedDictionary<string, UserPermissions> Permissions
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, UserPermissions>(StringComparer.Ordinal);

    /// <summary>The epoch of the owner. It rises when another one takes the virtual host over; 0 if none claimed it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int Epoch { get; init; }

    /// <summary>The epoch of its first owner. Shards of an earlier one are what a deleted virtual host of the same name has left.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int FirstEpoch { get; init; }
}
