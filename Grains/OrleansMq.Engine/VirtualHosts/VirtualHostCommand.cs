using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>A command of a client to the owner of a virtual host. Permissions were checked before (<see cref="UserAccess"/>).</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "command")]
[JsonDerivedType(typeof(DeclareExchange), "declareExchange")]
[JsonDerivedType(typeof(DeleteExchange), "deleteExchange")]
[JsonDerivedType(typeof(Bind), "bind")]
[JsonDerivedType(typeof(Unbind), "unbind")]
[JsonDerivedType(typeof(DeclareQueue), "declareQueue")]
[JsonDerivedType(typeof(DeleteQueue), "deleteQueue")]
[JsonDerivedType(typeof(UseQueue), "useQueue")]
[JsonDerivedType(typeof(EndQueue), "endQueue")]
[JsonDerivedType(typeof(AddConsumer), "addConsumer")]
[JsonDerivedType(typeof(RemoveConsumer), "removeConsumer")]
[JsonDerivedType(typeof(EndConnection), "endConnection")]
internal abstract record VirtualHostCommand
{
    /// <summary>Returns the command as JSON, for the way to the owner.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, VirtualHostJson.Default.VirtualHostCommand);

    /// <summary>Reads a command.</summary>
    /// <exception cref="JsonException">It is damaged.</exception>
    public static VirtualHostCommand Parse(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize(json, VirtualHostJson.Default.VirtualHostCommand) ?? throw new JsonException("It is null.");
}

/// <summary>Declares an exchange.</summary>
internal sealed record DeclareExchange(ExchangeDeclaration Exchange) : VirtualHostCommand;

/// <summary>Deletes an exchange.</summary>
/// <param name="Name">The exchange.</param>
/// <param name="IfUnused">Whether to refuse if there are bindings from it.</param>
internal sealed record DeleteExchange(string Name, bool IfUnused = false) : VirtualHostCommand;

/// <summary>Binds a queue or an exchange.</summary>
/// <param name="Binding">The binding.</param>
/// <param name="Connection">The connection that binds; null for an operator.</param>
internal sealed record Bind(BindingRequest Binding, string? Connection) : VirtualHostCommand;

/// <summary>Removes a binding.</summary>
/// <inheritdoc cref="Bind"/>
internal sealed record Unbind(BindingRequest Binding, string? Connection) : VirtualHostCommand;

/// <summary>Declares a queue. The owner chooses the name of one without a name.</summary>
/// <param name="Queue">The declaration.</param>
/// <param name="Connection">The connection that declares; an exclusive queue belongs to it. It is unique in the cluster.</param>
internal sealed record DeclareQueue(QueueDeclaration Queue, string Connection) : VirtualHostCommand;

/// <summary>Deletes a queue.</summary>
/// <param name="Name">The queue.</param>
/// <param name="Connection">The connection that deletes; null for an operator.</param>
/// <param name="ExpectedId">The queue that the caller found unused or empty; null for a deletion without a condition. A queue with another
/// id stays, and the answer says that nothing changed.</param>
/// <param name="IfUnused">Whether to refuse if it has consumers.</param>
internal sealed record DeleteQueue(string Name, string? Connection, long? ExpectedId = null, bool IfUnused = false) : VirtualHostCommand;

/// <summary>Adds a consumer of a queue.</summary>
/// <param name="Consumer">The consumer.</param>
internal sealed record AddConsumer(QueueConsumer Consumer) : VirtualHostCommand;

/// <summary>Removes a consumer. An auto-delete queue ends with its last one.</summary>
/// <param name="Queue">The queue.</param>
/// <param name="QueueId">Its id.</param>
/// <param name="Id">The consumer's id. One that is not there is not an error.</param>
internal sealed record RemoveConsumer(string Queue, long QueueId, string Id) : VirtualHostCommand;

/// <summary>Tells that a queue was used: declared again, or read without a consumer. It expires later. Nothing is stored.</summary>
/// <param name="Name">The queue.</param>
/// <param name="Id">Its id.</param>
internal sealed record UseQueue(string Name, long Id) : VirtualHostCommand;

/// <summary>Ends a queue that has expired. One that has consumers stays.</summary>
/// <param name="Name">The queue.</param>
/// <param name="Id">Its id: a new queue of the same name stays.</param>
/// <param name="Idle">It stays where the owner has learned within that time that it was used; zero where the broker knows of all
/// uses.</param>
internal sealed record EndQueue(string Name, long Id, TimeSpan Idle = default) : VirtualHostCommand;

/// <summary>Ends the exclusive queues of a connection, and its consumers.</summary>
/// <param name="Connection">The connection, which is gone.</param>
internal sealed record EndConnection(string Connection) : VirtualHostCommand;
