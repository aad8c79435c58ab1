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
        var table = Output.NewTable("QUEUE", "PARTITION", "UNSETTLED", "HELD", "DEFERRED", "CONSUMERS");
        foreach (var queue in queues.OrderBy(static queue => queue.Name, StringComparer.Ordinal).ThenBy(static queue => queue.Partition))
            table.AddRow(new Text(queue.Name), Number(queue.Partition), Number(queue.Unsettled), Number(queue.Held),
                Number(queue.Deferred), Number(queue.Consumers));
        return table;
    }

    /// <summary>Describes a queue in its partitions, and how it delivers.</summary>
    public static IRenderable Describe(IReadOnlyList<QueueDocument> queues)
    {
        var table = Output.NewTable("PARTITION", "FLOOR", "UNSETTLED", "HELD", "DEFERRED", "CONSUMERS", "OLDEST");
        foreach (var queue in queues)
            table.AddRow(Number(queue.Partition), Number(queue.Floor), Number(queue.Unsettled), Number(queue.Held),
                Number(queue.Deferred), Number(queue.Consumers), new Text(Time(queue.OldestTimestamp)));
        var totals = Output.NewTable("PARTITION", "ACCEPTED", "REJECTED", "DEAD LETTERS", "EXPIRED", "DROPPED", "FILTERED",
            "PURGED", "REDELIVERED");
        foreach (var queue in queues)
            totals.AddRow(Number(queue.Partition), Number(queue.Accepted), Number(queue.Rejected), Number(queue.DeadLettered),
                Number(queue.Expired), Number(queue.Dropped), Number(queue.Filtered), Number(queue.Purged), Number(queue.Redelivered));
        return new Rows([new Text($"{queues[0].Name}  topic {queues[0].Topic}\n"), table, totals,
            .. queues.Select(static queue => Options(queue.Options)).Distinct().Select(static options => new Text("\n" + options))]);
    }

    /// <summary>Lists what consumers work at.</summary>
    public static IRenderable Handlers(IReadOnlyList<QueueHandlerDocument> handlers)
    {
        if (handlers.Count == 0)
            return new Text("No consumer holds a record.\n");
        var table = Output.NewTable("PARTITION", "OFFSET", "CONSUMER", "HELD", "LOCK LEFT", "DELIVERIES", "FAILURES");
        foreach (var handler in handlers)
            table.AddRow(Number(handler.Partition), Number(handler.Offset), new Text($"{handler.Consumer:D}"),
                new Text(handler.IsWaiting ? "not received" : Seconds(handler.HeldMs)),
                new Text(handler.LockLeftMs is { } left ? Seconds(left) : None), Number(handler.Deliveries), Number(handler.Failures));
        return table;
    }

    private static string Options(QueueOptionsBody options) =>
        (options.MaxFailures == 0 ? "No limit of failures" : $"Rejected after {options.MaxFailures} failures")
        + (options.RetryDelayMs == 0 ? "; delivered again at once"
            : $"; delivered again after {Seconds(options.RetryDelayMs)}, doubled up to {Seconds(options.MaxRetryDelayMs)}")
        + (options.IsOrderedByKey ? "; ordered by key" : "")
        + (options.IsSingleActiveConsumer ? "; one consumer at a time" : "")
        + (options.DeadLetterTopic is { } letters ? $"; dead letters in {letters}" : "")
        + (options.PriorityLevels > 1 ? $"; {options.PriorityLevels} priorities" : "")
        + (options.Filter is { } filter ? $"; only records with {filter}" : "")
        + (options.TimeToLiveMs > 0 ? $"; records live {Seconds(options.TimeToLiveMs)}" : "")
        + (options.HasRecordTimes ? "; records name their times" : "")
        + (LimitOf(options) is { } limit ? $"; {limit}, then "
            + (options.Overflow == QueueOverflow.RefusePublish ? "none is appended" : "the first leave") : "") + ".";

    private static string? LimitOf(QueueOptionsBody options)
    {
        var length = options.HasNoBacklog ? "no record waits" : options.MaxLength > 0 ? $"at most {options.MaxLength} records" : null;
        var bytes = options.MaxBytes is { } most ? $"at most {most} bytes" : null;
        return length is null ? bytes : bytes is null ? length : $"{length} and {bytes}";
    }

    private static string Seconds(long milliseconds) => (milliseconds / 1000.0).ToString("0.###", CultureInfo.InvariantCulture) + " s";

    private static string Time(long? milliseconds) => milliseconds is { } known and >= 0 ? RecordTime.Format(known) : None;

    private static Text Number(long number) => new(number.ToString(CultureInfo.InvariantCulture));
}
