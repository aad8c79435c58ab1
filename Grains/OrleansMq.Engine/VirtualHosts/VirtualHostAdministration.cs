using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>A command of an operator.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "command")]
[JsonDerivedType(typeof(PutVirtualHost), "putVirtualHost")]
[JsonDerivedType(typeof(DeleteVirtualHost), "deleteVirtualHost")]
[JsonDerivedType(typeof(PutUser), "putUser")]
[JsonDerivedType(typeof(DeleteUser), "deleteUser")]
[JsonDerivedType(typeof(SetPermissions), "setPermissions")]
[JsonDerivedType(typeof(ClearPermissions), "clearPermissions")]
[JsonDerivedType(typeof(SetTopicPermission), "setTopicPermission")]
[JsonDerivedType(typeof(ClearTopicPermission), "clearTopicPermission")]
[JsonDerivedType(typeof(SetPolicy), "setPolicy")]
[JsonDerivedType(typeof(ClearPolicy), "clearPolicy")]
[JsonDerivedType(typeof(SetQueueLimit), "setQueueLimit")]
[JsonDerivedType(typeof(SetConnectionLimit), "setConnectionLimit")]
[JsonDerivedType(typeof(ImportDefinitions), "importDefinitions")]
internal abstract record VirtualHostAdministration
{
    /// <summary>Returns the command as JSON, for the way to the owner.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, VirtualHostJson.Default.VirtualHostAdministration);

    /// <summary>Reads a command.</summary>
    /// <exception cref="JsonException">It is damaged.</exception>
    public static VirtualHostAdministration Parse(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize(json, VirtualHostJson.Default.VirtualHostAdministration) ?? throw new JsonException("It is null.");
}

/// <summary>Adds a virtual host, or changes the description, tags and default queue type of one that exists.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Creator">The user that gets all permissions in a new one; null for none.</param>
internal sealed record PutVirtualHost(string Name, string? Creator = null) : VirtualHostAdministration
{
    /// <summary>What it is for.</summary>
    public string? Description { get; init; }

    /// <summary>Tags of the operator.</summary>
    public ImmutableArray<string> Tags { get; init; } = [];

    /// <summary>The type of durable queues that do not name one; null for classic.</summary>
    public QueueType? DefaultQueueType { get; init; }
}

/// <summary>Deletes a virtual host with all that is in it. A missing one is not an error.</summary>
internal sealed record DeleteVirtualHost(string Name) : VirtualHostAdministration;

/// <summary>Adds or changes a user.</summary>
/// <param name="Name">Its name.</param>
/// <param name="PasswordHash">Its password, hashed as <see cref="VirtualHosts.PasswordHash"/> says; empty for none.</param>
/// <param name="HashingAlgorithm">The algorithm.</param>
/// <param name="Tags">Its tags.</param>
internal sealed record PutUser(string Name, string PasswordHash, string HashingAlgorithm, ImmutableArray<string> Tags)
    : VirtualHostAdministration;

/// <summary>Deletes a user. A missing one is not an error.</summary>
internal sealed record DeleteUser(string Name) : VirtualHostAdministration;

/// <summary>Sets what a user may do in a virtual host.</summary>
internal sealed record SetPermissions(string VirtualHost, string User, SafePattern Configure, SafePattern Write, SafePattern Read)
    : VirtualHostAdministration;

/// <summary>Removes a user's permissions in a virtual host, with those for topics.</summary>
internal sealed record ClearPermissions(string VirtualHost, string User) : VirtualHostAdministration;

/// <summary>Limits the routing keys of a user at a topic exchange.</summary>
internal sealed record SetTopicPermission(string VirtualHost, string User, string Exchange, TopicPermission Permission)
    : VirtualHostAdministration;

/// <summary>Removes such limits: those of one exchange, or of all if it is null.</summary>
internal sealed record ClearTopicPermission(string VirtualHost, string User, string? Exchange) : VirtualHostAdministration;

/// <summary>Adds or replaces a policy.</summary>
/// <param name="VirtualHost">The virtual host.</param>
/// <param name="Policy">The policy.</param>
/// <param name="IsOperator">Whether it is an operator policy.</param>
internal sealed record SetPolicy(string VirtualHost, Policy Policy, bool IsOperator = false) : VirtualHostAdministration;

/// <summary>Removes a policy. A missing one is not an error.</summary>
internal sealed record ClearPolicy(string VirtualHost, string Name, bool IsOperator = false) : VirtualHostAdministration;

/// <summary>Limits the queues of a virtual host.</summary>
/// <param name="VirtualHost">The virtual host.</param>
/// <param name="MaxQueues">The most queues; null for no limit.</param>
internal sealed record SetQueueLimit(string VirtualHost, int? MaxQueues) : VirtualHostAdministration;

/// <summary>Limits the connections to a virtual host, of each broker by itself.</summary>
/// <param name="VirtualHost">The virtual host.</param>
/// <param name="MaxConnections">The most connections; null for no limit.</param>
internal sealed record SetConnectionLimit(string VirtualHost, int? MaxConnections) : VirtualHostAdministration;

/// <summary>Imports definitions, as <see cref="DefinitionsImport"/> says.</summary>
/// <param name="Json">The file.</param>
/// <param name="VirtualHost">The virtual host of what names none; null if all must name one.</param>
internal sealed record ImportDefinitions(byte[] Json, string? VirtualHost = null) : VirtualHostAdministration;
