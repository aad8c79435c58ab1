using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Silo.Hosting;

/// <summary>The only line on standard output: the broker serves requests.</summary>
/// <param name="Http">The URL of the HTTP API.</param>
/// <param name="Data">The data directory's full path.</param>
/// <param name="Flavour"><c>standalone</c> or <c>cluster</c>.</param>
/// <param name="Pid">The process id.</param>
/// <param name="Ms">Milliseconds since the start of the process.</param>
/// <param name="BrokerId">The broker's id.</param>
internal sealed record ReadyLine(string Http, string Data, string Flavour, int Pid, long Ms, int BrokerId)
{
    /// <summary>The address of the Kafka protocol; null if it is off.</summary>
    public string? Kafka { get; init; }

    /// <summary>The address of AMQP; null if it is off.</summary>
    public string? Amqp { get; init; }

    /// <summary>The URL of AMQP's management API; null if it is off.</summary>
    public string? AmqpManagement { get; init; }

    /// <summary>The cluster's name; null without a cluster.</summary>
    public string? ClusterId { get; init; }

    /// <summary>The endpoint for other brokers; null without a cluster.</summary>
    public string? Orleans { get; init; }

    /// <summary>The endpoint for Orleans clients; null without a cluster.</summary>
    public string? Gateway { get; init; }

    /// <summary>Formats the line, without a line end.</summary>
    public string ToString(bool json) => json
        ? JsonSerializer.Serialize(this, ReadyLineJson.Readable.ReadyLine)
        : $"ready http={Http}{(Kafka is null ? "" : $" kafka={Kafka}")}{(Amqp is null ? "" : $" amqp={Amqp}")}"
            + $"{(AmqpManagement is null ? "" : $" amqp-management={AmqpManagement}")} data={Data} flavour={Flavour} broker={BrokerId}"
            + (ClusterId is null ? "" : $" cluster={ClusterId} orleans={Orleans} gateway={Gateway}") + $" pid={Pid} ms={Ms}";
}

/// <summary>The line's JSON contract.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ReadyLine))]
internal sealed partial class ReadyLineJson : JsonSerializerContext
{
    /// <summary>A contract that leaves non-ASCII paths unescaped.</summary>
    public static ReadyLineJson Readable { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    });
}
