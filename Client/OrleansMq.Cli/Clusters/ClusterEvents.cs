using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Cli.Terminal;

namespace OrleansMq.Cli.Clusters;

/// <summary>The cluster as a whole.</summary>
/// <param name="ClusterId">Its name in the database.</param>
/// <param name="Data">Its directory.</param>
/// <param name="Pid">The process that runs the cluster: when it ends, all others end.</param>
internal sealed record ClusterLine(string ClusterId, string Data, int Pid)
{
    /// <summary>The file with the authority that clients trust; null for a cluster that is not secured.</summary>
    public string? CertificateAuthority { get; init; }

    /// <summary>The file with the password of the user admin; null for a cluster that is not secured.</summary>
    public string? PasswordFile { get; init; }
}

/// <summary>The database.</summary>
/// <param name="Pid">The private server's process id; null for a given database.</param>
/// <param name="Port">The private server's port on 127.0.0.1; null for a given database.</param>
/// <param name="ConnectionString">The private server's connection string, with its password; null for a given database.</param>
internal sealed record PostgresLine(int? Pid, int? Port, string? ConnectionString);

/// <summary>A silo that is ready.</summary>
/// <param name="BrokerId">Its broker id.</param>
/// <param name="Pid">Its process id.</param>
/// <param name="Http">Its HTTP address.</param>
/// <param name="Kafka">Its Kafka address; null without a Kafka listener.</param>
/// <param name="Orleans">Its address for other silos.</param>
/// <param name="Gateway">Its address for Orleans clients.</param>
/// <param name="Rack">Its rack, or null.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Log">Its log file.</param>
internal sealed record BrokerLine(int BrokerId, int Pid, string Http, string? Kafka, string? Orleans, string? Gateway, string? Rack,
    string Data, string Log)
{
    /// <summary>Its AMQP address; null without an AMQP listener.</summary>
    public string? Amqp { get; init; }
}

/// <summary>The unexpected exit of a silo or of the database.</summary>
/// <param name="BrokerId">The silo's broker id; null for the database.</param>
/// <param name="Pid">The process id.</param>
/// <param name="ExitCode">Its exit code; 128 plus the signal if a signal ended it; null if unknown.</param>
/// <param name="Restarting">Whether it is restarted.</param>
internal sealed record EndedLine(int? BrokerId, int Pid, int? ExitCode, bool Restarting);

/// <summary>A silo that was removed from the cluster and is not started any more.</summary>
/// <param name="BrokerId">The silo's broker id.</param>
internal sealed record RemovedLine(int BrokerId);

/// <summary>One object per line. The member that is present tells the kind; a silo's members are at the top level.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(BrokerLine))]
[JsonSerializable(typeof(Dictionary<string, ClusterLine>))]
[JsonSerializable(typeof(Dictionary<string, PostgresLine>))]
[JsonSerializable(typeof(Dictionary<string, EndedLine>))]
[JsonSerializable(typeof(Dictionary<string, RemovedLine>))]
internal sealed partial class ClusterLinesJson : JsonSerializerContext;

/// <summary>Prints the events of a local cluster as lines of text, or as one JSON object per line.</summary>
internal sealed class ClusterEvents(bool json)
{
    private readonly Lock _writing = new();

    /// <summary>Reports that the cluster is starting.</summary>
    public void Starting(ClusterLine line, bool isTemporary)
    {
        if (json)
            WriteJson(new() { ["cluster"] = line }, ClusterLinesJson.Default.DictionaryStringClusterLine);
        else
            WriteText($"cluster {line.ClusterId}  data {line.Data}{(isTemporary ? " (deleted at the end)" : "")}");
    }

    /// <summary>Reports that the database is ready.</summary>
    public void DatabaseReady(PostgresLine line)
    {
        if (json)
            WriteJson(new() { ["postgres"] = line }, ClusterLinesJson.Default.DictionaryStringPostgresLine);
        else
            // The password is only printed with --json.
            WriteText(line.Pid is null ? "postgres  as given" : $"postgres  pid {line.Pid}  127.0.0.1:{line.Port}");
    }

    /// <summary>Reports that a silo is ready, for the first time or again.</summary>
    public void BrokerReady(BrokerLine line)
    {
        if (json)
            WriteJson(line, ClusterLinesJson.Default.BrokerLine);
        else
            WriteText(Describe(line));
    }

    /// <summary>Reports the unexpected exit of a silo or of the database.</summary>
    public void Ended(EndedLine line)
    {
        if (json)
        {
            WriteJson(new() { ["ended"] = line }, ClusterLinesJson.Default.DictionaryStringEndedLine);
            return;
        }
        var who = line.BrokerId is { } id ? $"broker {id}" : "postgres";
        WriteText($"{who}  pid {line.Pid}  ended{Explain(line)}{(line.Restarting ? "; restarting" : "")}");
    }

    /// <summary>Reports that a silo was removed from the cluster.</summary>
    public void Removed(RemovedLine line)
    {
        if (json)
            WriteJson(new() { ["removed"] = line }, ClusterLinesJson.Default.DictionaryStringRemovedLine);
        else
            WriteText($"broker {line.BrokerId}  removed; it is not started any more");
    }

    /// <summary>Reports that all silos are ready.</summary>
    /// <param name="clusterId">The cluster's name.</param>
    /// <param name="brokers">Its brokers.</param>
    /// <param name="security">Its certificates; null if it is not secured.</param>
    public void AllReady(string clusterId, IReadOnlyList<BrokerLine> brokers, LocalSecurity? security = null)
    {
        if (json)
            return;
        var inOrder = brokers.OrderBy(broker => broker.BrokerId).ToList();
        if (security is not null)
        {
            WriteText(Secured(clusterId, inOrder, security));
            return;
        }
        WriteText($"""

            {brokers.Count} brokers run; Ctrl-C ends all of it. In another terminal:
              export OMQ_SERVER={string.Join(',', inOrder.Select(broker => broker.Http))}
            Orleans clients: cluster {clusterId}, gateways {string.Join(',', inOrder.Select(broker => broker.Gateway))}
            """);
    }

    private static string Secured(string clusterId, List<BrokerLine> brokers, LocalSecurity security) => $"""

        {brokers.Count} brokers run, secured: TLS everywhere, and only {LocalSecurity.User} may do anything. Ctrl-C ends all of it.
        In another terminal:
          export OMQ_SERVER={string.Join(',', brokers.Select(static broker => broker.Http))}
          export OMQ_CA={security.AuthorityFile} OMQ_USER={LocalSecurity.User} OMQ_PASSWORD="$(cat {security.PasswordFile})"
          omq topic create orders
          omq user add alice && omq acl add User:alice read,write topic:orders
          curl --cacert "$OMQ_CA" -u "$OMQ_USER:$OMQ_PASSWORD" {brokers[0].Http}/api/topics
          kcat -F {security.KcatFile} -b {string.Join(',', brokers.Select(static broker => broker.Kafka))} -L
        .NET: new HttpBroker(addresses, new HttpBrokerOptions with CertificateAuthorities, User and Password)
        Orleans clients: cluster {clusterId}, gateways {string.Join(',', brokers.Select(static broker => broker.Gateway))}
          client.UseClusterTls(new ClusterTlsOptions with Certificate {security.ClientFile} and Authorities {security.AuthorityFile})
          client.AddOrleansMqClient().UseLogin(new OrleansLogin with User and Password)
        """;

    /// <summary>Formats a silo's line of text.</summary>
    public static string Describe(BrokerLine line)
    {
        string?[] parts =
        [
            $"broker {line.BrokerId}", $"pid {line.Pid}", $"http {line.Http}", Named("kafka", line.Kafka), Named("amqp", line.Amqp),
            Named("orleans", line.Orleans), Named("gateway", line.Gateway), Named("rack", line.Rack), $"log {line.Log}",
        ];
        return string.Join("  ", parts.Where(part => part is not null));
    }

    private static string? Named(string name, string? value) => value is null ? null : $"{name} {value}";

    private static string Explain(EndedLine line) => line switch
    {
        { ExitCode: null } => "",
        { ExitCode: EvictedCode, BrokerId: not null } => $" with code {EvictedCode}: the others declared it dead and evicted it",
        { ExitCode: PortTakenCode, BrokerId: not null } => $" with code {PortTakenCode}: another process took its port",
        { ExitCode: > 128 } => $" by signal {line.ExitCode - 128}",
        _ => $" with code {line.ExitCode}",
    };

    // The exit code of a broker that the cluster has evicted.
    private const int EvictedCode = 3;

    // The exit code of a broker whose port is taken.
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
