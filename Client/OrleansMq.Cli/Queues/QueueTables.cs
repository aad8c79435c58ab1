using System.Globalization;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Queues;

/// <summary>Formats queues as tables.</summary>
internal static class QueueTables
{
    private const string None = "-";

    /// <summary>Lists queues, one line for each partition.</summary>
    public static IRenderable List(IReadOnlyList<QueueDocument> queues)
    {
        if (queues.Count == 0)
            return new Text("No queues. Create one: omq queue create TOPIC QUEUE\n");
        var table = Output.NewTable("QUEUE", "PARTITION", "UNSETTLED", "HELD", "CONSUMERS");
        foreach (var queue in queues.OrderBy(static queue => queue.Name, StringComparer.Ordinal).ThenBy(static queue => queue.Partition))
            table.AddRow(new Text(queue.Name), Number(queue.Partition), Number(queue.Unsettled), Number(queue.Held),
                Number(queue.Consumers));
        return table;
    }

    /// <summary>Describes a queue in its partitions, and how it delivers.</summary>
    public static IRenderable Describe(IReadOnlyList<QueueDocument> queues)
    {
        var table = Output.NewTable("PARTITION", "FLOOR", "UNSETTLED", "HELD", "CONSUMERS", "OLDEST", "ACCEPTED", "REJECTED", "PURGED");
        foreach (var queue in queues)
            table.AddRow(Number(queue.Partition), Number(queue.Floor), Number(queue.Unsettled), Number(queue.Held),
                Number(queue.Consumers), new Text(Time(queue.OldestTimestamp)), Number(queue.Accepted), Number(queue.Rejected),
                Number(queue.Purged));
        return new Rows([new Text($"{queues[0].Name}  topic {queues[0].Topic}\n"), table,
            .. queues.Select(static queue => Options(queue.Options)).Distinct().Select(static options => new Text("\n" + options))]);
    }

    private static string Options(QueueOptionsBody options) =>
        (options.MaxFailures == 0 ? "No limit of failures" : $"Rejected after {options.MaxFailures} failures")
        + (options.RetryDelayMs == 0 ? "; delivered again at once"
            : $"; delivered again after {Seconds(options.RetryDelayMs)}, doubled up to {Seconds(options.MaxRetryDelayMs)}")
        + (options.IsOrderedByKey ? "; ordered by key" : "")
        + (options.IsSingleActiveConsumer ? "; one consumer at a time" : "") + ".";

    private static string Seconds(long milliseconds) => (milliseconds / 1000.0).ToString("0.###", CultureInfo.InvariantCulture) + " s";

    private static string Time(long? milliseconds) => milliseconds is { } known and >= 0
        ? DateTimeOffset.FromUnixTimeMilliseconds(known).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture) : None;

    private static Text Number(long number) => new(number.ToString(CultureInfo.InvariantCulture));
}
