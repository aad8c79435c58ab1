using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Cli.Terminal;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Topics;

/// <summary>Formats topics as tables.</summary>
internal static class TopicTables
{
    /// <summary>Lists topics, one line each.</summary>
    public static IRenderable List(IReadOnlyList<TopicListing> topics)
    {
        if (topics.Count == 0)
            return new Text("No topics. Create one: omq topic create NAME\n");
        var table = Output.NewTable("TOPIC", "PARTITIONS", "ID");
        foreach (var topic in topics)
            table.AddRow(new Text(topic.Name), Number(topic.Partitions), new Text(topic.TopicId.ToString()));
        return table;
    }

    /// <summary>Describes a topic, its partitions and its settings.</summary>
    public static IRenderable Describe(TopicDescription topic, bool withDefaults)
    {
        var rows = new List<IRenderable> { new Text($"{topic.Name}  id {topic.TopicId}\n"), Partitions(topic.Partitions) };
        if (topic.Partitions.Where(partition => partition.OfflineReason is not null).ToList() is { Count: > 0 } offline)
            rows.AddRange(offline.Select(partition => new Text($"\nPartition {partition.Partition} is OFFLINE: {partition.OfflineReason}",
                new Style(Color.Red))));
        if (topic.IntendedReplicationFactor is { } intended)
            rows.Add(new Text($"\nIts partitions are to have {intended} replicas each. The cluster adds them when brokers have joined."));
        var shown = topic.Configs.Where(config => withDefaults || !config.IsDefault).ToList();
        rows.Add(shown.Count == 0 ? new Text("\nAll settings have their defaults; --all shows them.") : Settings(shown));
        return new Rows(rows);
    }

    private static Table Partitions(IReadOnlyList<PartitionDescription> partitions)
    {
        var table = Output.NewTable("PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "ELIGIBLE", "START", "HIGH WATERMARK", "END",
            "BYTES");
        foreach (var partition in partitions)
        {
            table.AddRow(Number(partition.Partition), partition.Leader < 0 ? new Text("none") : Number(partition.Leader),
                Number(partition.LeaderEpoch),
                new Text(string.Join(',', partition.Replicas)), new Text(string.Join(',', partition.InSyncReplicas.Order())),
                new Text(partition.EligibleLeaderReplicas is { Count: > 0 } eligible ? string.Join(',', eligible) : "-"),
                Number(partition.LogStartOffset), Number(partition.HighWatermark), Number(partition.LogEndOffset),
                Number(partition.SizeBytes));
        }
        return table;
    }

    private static Rows Settings(IReadOnlyList<ConfigEntry> settings)
    {
        var table = Output.NewTable("SETTING", "VALUE", "");
        foreach (var setting in settings)
            table.AddRow(new Text(setting.Name), new Text(setting.Value), new Text(setting.IsDefault ? "default" : ""));
        return new Rows(new Text(""), table);
    }

    private static Text Number(long number) => new(number.ToString(CultureInfo.InvariantCulture));
}
