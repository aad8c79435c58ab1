using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.VirtualHosts;

/// <summary>A command on its way from a broker to the owner of the virtual hosts, or a question for what is newer.</summary>
internal sealed record VirtualHostRequest : ICoordinatorRequest
{
    /// <summary>The virtual host of <see cref="Command"/>.</summary>
    public string VirtualHost { get; init; } = "";

    /// <summary>A client's command.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VirtualHostCommand? Command { get; init; }

    /// <summary>An operator's command.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VirtualHostAdministration? Administration { get; init; }

    /// <summary>The version of the broker's image, where it asks for what is newer; null for a command.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Known { get; init; }

    /// <inheritdoc/>
    public object Refuse(ErrorCode error, string message) => new VirtualHostReply { Error = error, Message = message };

    /// <summary>Returns the request as JSON.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, VirtualHostJson.Default.VirtualHostRequest);

    /// <summary>Reads a request.</summary>
    /// <exception cref="JsonException">It is damaged.</exception>
    public static VirtualHostRequest Parse(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize(json, VirtualHostJson.Default.VirtualHostRequest) ?? throw new JsonException("It is null.");
}

/// <summary>The outcome of a <see cref="VirtualHostRequest"/>.</summary>
internal sealed record VirtualHostReply
{
    /// <summary>The version of the image of all virtual hosts that shows the outcome.</summary>
    public long Version { get; init; }

    /// <summary>The answer to an accepted command.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VirtualHostAnswer? Answer { get; init; }

    /// <summary>What is newer than the image that the broker has; null for nothing.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VirtualHostsDelta? Newer { get; init; }

    /// <summary>Why the command is refused.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public AmqpRefusal? Refusal { get; init; }

    /// <summary>Which value is not allowed.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Fault { get; init; }

    /// <summary>Why the outcome is not known, or the command was not carried out.</summary>
    public ErrorCode Error { get; init; }

    /// <summary>The cause of <see cref="Error"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Message { get; init; }

    /// <summary>Whether the owner has decided.</summary>
    [JsonIgnore]
    public bool IsDecided => Error == ErrorCode.None;

    /// <summary>Demands that the owner has decided.</summary>
    /// <exception cref="BrokerException">It has not, or the outcome is unknown.</exception>
    public VirtualHostReply DemandDecided() => IsDecided ? this
        : throw new BrokerException(Error, Message ?? $"The owner of the virtual hosts answered {Error}.");

    /// <summary>Returns the answer.</summary>
    /// <inheritdoc cref="IVirtualHosts.AdministerAsync" path="/exception"/>
    public VirtualHostAnswer Demand() => DemandDecided().Answer
        ?? throw (Refusal is { } refusal ? new AmqpRefusedException(refusal) : new DefinitionsException(Fault ?? "It has no answer."));

    /// <summary>Returns the reply as JSON.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, VirtualHostJson.Default.VirtualHostReply);

    /// <summary>Reads a reply.</summary>
    /// <exception cref="JsonException">It is damaged.</exception>
    public static VirtualHostReply Parse(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize(json, VirtualHostJson.Default.VirtualHostReply) ?? throw new JsonException("It is null.");
}
