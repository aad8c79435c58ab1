using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Cli.Terminal;

namespace OrleansMq.Cli.Clusters;

/// <summary>The cluster as a whole.</summary>
/// <param name="ClusterId">Its name in the database.</param>
/// <param name="Data">Its directory.</param>
/// <param name="Pid">The process that holds it together: ending it ends all.</param>
internal sealed record ClusterLine(string ClusterId, string Data, int Pid);

/// <summary>The database.</summary>
/// <param name="Pid">The private server's process; null where a database was given.</param>
/// <param name="Port">The private server's port on 127.0.0.1; null where a database was given.</param>
/// <param name="ConnectionString">How to connect, with the password.</param>
internal sealed record PostgresLine(int? Pid, int? Port, string ConnectionString);

/// <summary>A silo that serves.</summary>
/// <param name="BrokerId">Its number.</param>
/// <param name="Pid">Its process.</param>
/// <param name="Http">Its HTTP address.</param>
/// <param name="Kafka">Its Kafka address; null where it does not speak Kafka's protocol.</param>
/// <param name="Orleans">Where other silos reach it.</param>
/// <param name="Gateway">Where Orleans clients reach it.</param>
/// <param name="Rack">Its rack, or null.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Log">The file with what it logs.</param>
internal sealed record BrokerLine(int BrokerId, int Pid, string Http, string? Kafka, string? Orleans, string? Gateway, string? Rack,
    string Data, string Log);

/// <summary>A silo, or the database, ended though nobody asked it to.</summary>
/// <param name="BrokerId">The silo; null for the database.</param>
/// <param name="Pid">The process that was.</param>
/// <param name="ExitCode">Its exit code, 128 and the signal where one ended it; null where it is not known.</param>
/// <param name="Restarting">Whether it is started again.</param>
internal sealed record EndedLine(int? BrokerId, int Pid, int? ExitCode, bool Restarting);

/// <summary>A silo was removed from the cluster: it is not started any more.</summary>
/// <param name="BrokerId">The silo.</param>
internal sealed record RemovedLine(int BrokerId);

/// <summary>One object a line; the member that is there says what it is about. A silo's members stand at the top.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(BrokerLine))]
[JsonSerializable(typeof(Dictionary<string, ClusterLine>))]
[JsonSerializable(typeof(Dictionary<string, PostgresLine>))]
[JsonSerializable(typeof(Dictionary<string, EndedLine>))]
[JsonSerializable(typeof(Dictionary<string, RemovedLine>))]
internal sealed partial class ClusterLinesJson : JsonSerializerContext;

/// <summary>Tells of a local cluster, line by line as it happens: as text, or as one JSON object a line.</summary>
internal sealed class ClusterEvents(bool json)
{
    private readonly Lock _writing = new();

    /// <summary>The cluster begins to start.</summary>
    public void Starting(ClusterLine line, bool isTemporary)
    {
        if (json)
            WriteJson(new() { ["cluster"] = line }, ClusterLinesJson.Default.DictionaryStringClusterLine);
        else
            WriteText($"cluster {line.ClusterId}  data {line.Data}{(isTemporary ? " (deleted at the end)" : "")}");
    }

    /// <summary>The database serves.</summary>
    public void DatabaseReady(PostgresLine line)
    {
        if (json)
            WriteJson(new() { ["postgres"] = line }, ClusterLinesJson.Default.DictionaryStringPostgresLine);
        else
            // The password is for whoever asks for it by --json.
            WriteText(line.Pid is null ? "postgres  as given" : $"postgres  pid {line.Pid}  127.0.0.1:{line.Port}");
    }

    /// <summary>A silo serves, for the first time or again.</summary>
    public void BrokerReady(BrokerLine line)
    {
        if (json)
            WriteJson(line, ClusterLinesJson.Default.BrokerLine);
        else
            WriteText(Describe(line));
    }

    /// <summary>A silo, or the database, ended by itself.</summary>
    public void Ended(EndedLine line)
    {
        if (json)
        {
            WriteJson(new() { ["ended"] = line }, ClusterLinesJson.Default.DictionaryStringEndedLine);
            return;
        }
        var who = line.BrokerId is { } id ? $"broker {id}" : "postgres";
        WriteText($"{who}  pid {line.Pid}  ended{Explain(line)}{(line.Restarting ? "; starting it again" : "")}");
    }

    /// <summary>A silo was removed from the cluster.</summary>
    public void Removed(RemovedLine line)
    {
        if (json)
            WriteJson(new() { ["removed"] = line }, ClusterLinesJson.Default.DictionaryStringRemovedLine);
        else
            WriteText($"broker {line.BrokerId}  removed; it is not started any more");
    }

    /// <summary>All silos serve.</summary>
    public void AllReady(string clusterId, IReadOnlyList<BrokerLine> brokers)
    {
        if (json)
            return;
        var inOrder = brokers.OrderBy(broker => broker.BrokerId).ToList();
        WriteText($"""

            {brokers.Count} brokers run; Ctrl-C ends all of it. In another terminal:
              export OMQ_SERVER={string.Join(',', inOrder.Select(broker => broker.Http))}
            Orleans clients: cluster {clusterId}, gateways {string.Join(',', inOrder.Select(broker => broker.Gateway))}
            """);
    }

    /// <summary>A silo's line for people.</summary>
    public static string Describe(BrokerLine line)
    {
        string?[] parts =
        [
            $"broker {line.BrokerId}", $"pid {line.Pid}", $"http {line.Http}", Named("kafka", line.Kafka), Named("orleans", line.Orleans),
            Named("gateway", line.Gateway), Named("rack", line.Rack), $"log {line.Log}",
        ];
        return string.Join("  ", parts.Where(part => part is not null));
    }

    private static string? Named(string name, string? value) => value is null ? null : $"{name} {value}";

    private static string Explain(EndedLine line) => line switch
    {
        { ExitCode: null } => "",
        { ExitCode: EvictedCode, BrokerId: not null } => $" with code {EvictedCode}: the others took it for dead and went on without it",
        { ExitCode: PortTakenCode, BrokerId: not null } => $" with code {PortTakenCode}: another process took a port that it had chosen",
        { ExitCode: > 128 } => $" by signal {line.ExitCode - 128}",
        _ => $" with code {line.ExitCode}",
    };

    // By which a broker says that the cluster has evicted it.
    private const int EvictedCode = 3;

    // By which a broker says that it has lost a port.
    private const int PortTakenCode = 4;

    private void WriteText(string line)
    {
        lock (_writing)
            Output.WriteLine(line);
    }

    private void WriteJson<T>(T value, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        lock (_writing)
            Output.WriteJson(value, type);
    }
}
