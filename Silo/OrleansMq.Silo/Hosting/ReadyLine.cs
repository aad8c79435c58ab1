using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Silo.Hosting;

/// <summary>The one line on standard output: the broker serves.</summary>
/// <param name="Http">Where the HTTP API listens.</param>
/// <param name="Data">The data directory's full path.</param>
/// <param name="Flavour"><c>standalone</c> or <c>cluster</c>.</param>
/// <param name="Pid">The process.</param>
/// <param name="Ms">Milliseconds from the start of the process.</param>
/// <param name="BrokerId">The broker's number.</param>
internal sealed record ReadyLine(string Http, string Data, string Flavour, int Pid, long Ms, int BrokerId)
{
    /// <summary>Where the Kafka protocol is served; null where it is not.</summary>
    public string? Kafka { get; init; }

    /// <summary>The cluster's name; null where the broker is in none.</summary>
    public string? ClusterId { get; init; }

    /// <summary>Where other brokers reach this one; null where none do.</summary>
    public string? Orleans { get; init; }

    /// <summary>Where Orleans clients reach it; null where none do.</summary>
    public string? Gateway { get; init; }

    /// <summary>The line, without its end.</summary>
    public string ToString(bool json) => json
        ? JsonSerializer.Serialize(this, ReadyLineJson.Readable.ReadyLine)
        : $"ready http={Http}{(Kafka is null ? "" : $" kafka={Kafka}")} data={Data} flavour={Flavour} broker={BrokerId}"
            + (ClusterId is null ? "" : $" cluster={ClusterId} orleans={Orleans} gateway={Gateway}") + $" pid={Pid} ms={Ms}";
}

/// <summary>How the line is written as JSON.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ReadyLine))]
internal sealed partial class ReadyLineJson : JsonSerializerContext
{
    /// <summary>Paths stay as they are, in any language.</summary>
    public static ReadyLineJson Readable { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    });
}
