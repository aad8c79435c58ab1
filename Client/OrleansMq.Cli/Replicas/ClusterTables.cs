using OrleansMq.Api;
using OrleansMq.Cli.Terminal;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Replicas;

/// <summary>Formats a cluster as a table.</summary>
internal static class ClusterTables
{
    // Enough to see what is wrong; --json lists all of them.
    private const int PartitionsShown = 20;

    /// <summary>Shows the cluster, its brokers, and the partitions that need attention.</summary>
    public static IRenderable Status(ClusterDescription cluster)
    {
        var rows = new List<IRenderable> { new Text(Header(cluster) + "\n"), Brokers(cluster.Brokers), new Text("") };
        if (cluster.OfflinePartitions is not { } offline)
            return new Rows(rows);
        rows.AddRange(Concern("without a leader", offline));
        rows.AddRange(Concern("with fewer in-sync replicas than min.insync.replicas, which reject acks=all",
            cluster.BelowMinInSyncPartitions ?? []));
        rows.AddRange(Concern("with a replica that is not in sync", cluster.UnderReplicatedPartitions ?? []));
        if (rows.Count == 3)
            rows.Add(new Text("Every partition has a leader, and every replica is in sync."));
        return new Rows(rows);
    }

    private static string Header(ClusterDescription cluster)
    {
        var replicated = cluster.OfflinePartitions is null ? "  nothing is replicated" : $"  metadata version {cluster.MetadataVersion}";
        var controller = cluster.Controller < 0 ? "" : $"  catalogue on broker {cluster.Controller}";
        var counts = cluster.OfflinePartitions is null
            ? "" : $"  {Count(cluster.Topics, "topic")}, {Count(cluster.Partitions, "partition")}";
        return $"cluster {cluster.ClusterId}{replicated}{controller}{counts}{(cluster.AutoRebalance ? "  rebalances by itself" : "")}";
    }

    private static Table Brokers(IReadOnlyList<BrokerDescription> brokers)
    {
        var table = Output.NewTable("BROKER", "STATE", "RACK", "LEADS", "REPLICAS", "FAILED", "HTTP", "KAFKA", "ORLEANS");
        foreach (var broker in brokers)
        {
            table.AddRow(ReplicaTables.Number(broker.BrokerId), State(broker.State), OrDash(broker.Rack),
                ReplicaTables.Number(broker.Leaders),
                ReplicaTables.Number(broker.Replicas), ReplicaTables.Number(broker.OfflinePartitions), OrDash(broker.Http),
                OrDash(broker.Kafka), OrDash(broker.Orleans));
        }
        return table;
    }

    private static Text State(BrokerState state) => state == BrokerState.Dead
        ? new Text("DEAD", new Style(Color.Red))
        : new Text(state.ToString().ToLowerInvariant());

    private static IEnumerable<IRenderable> Concern(string what, IReadOnlyList<TopicPartition> partitions)
    {
        if (partitions.Count == 0)
            yield break;
        var more = partitions.Count > PartitionsShown ? $" and {partitions.Count - PartitionsShown} more" : "";
        yield return new Text($"{Count(partitions.Count, "partition")} {what}: {string.Join(", ", partitions.Take(PartitionsShown))}{more}",
            new Style(Color.Red));
    }

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    private static Text OrDash(string? text) => new(text ?? "-");
}
