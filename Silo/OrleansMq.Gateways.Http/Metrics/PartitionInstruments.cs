using System.Diagnostics.Metrics;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Schedules;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>The broker's partitions and their volume.</summary>
internal static class PartitionInstruments
{
    /// <summary>Adds them.</summary>
    public static void AddTo(Meter meter, MetricSource source)
    {
        meter.CreateObservableGauge("orleansmq.partitions.online", () => source.Partitions().Count(static p => p.OfflineReason is null),
            "{partition}",
            "Partitions on this broker that serve.");
        meter.CreateObservableGauge("orleansmq.partitions.offline",
            () => source.Partitions().Count(static p => p.OfflineReason is not null), "{partition}",
            "Partitions on this broker whose storage failed.");
        Add(meter, source, "orleansmq.partition.log.size", "By", "Bytes of a partition's segments on this broker.",
            static p => p.SizeInBytes);
        Add(meter, source, "orleansmq.partition.log.start.offset", "{offset}", "The first offset of a partition that can be read.",
            static p => p.LogStartOffset);
        Add(meter, source, "orleansmq.partition.log.end.offset", "{offset}", "The offset that a partition's next record gets.",
            static p => p.LogEndOffset);
        Add(meter, source, "orleansmq.partition.stable.lag", "{offset}",
            "Offsets below the high watermark that committed readers cannot read yet, since a transaction is open.",
            static p => Math.Max(p.HighWatermark - p.LastStableOffset, 0));
        meter.CreateObservableGauge("orleansmq.partition.transaction.oldest",
            () => Observe(source, static p => p.OldestTransactionMs).Select(static one =>
                new Measurement<double>(one.Value / 1000.0, one.Tags)), "s",
            "How long the oldest open transaction of a partition has been open.");
        meter.CreateObservableCounter("orleansmq.produced.duplicates", () => SumByTopic(source, static p => p.Dedupe.LeftOut),
            "{record}", "Records that were acknowledged and not appended, since their partition had seen their message ids.");
        meter.CreateObservableCounter("orleansmq.dedupe.forgotten",
            () => SumByTopic(source, static p => p.Dedupe.ForgottenEarly), "{id}",
            "Message ids that were forgotten within dedupe.window.ms, since a partition had dedupe.max.ids others, or the broker "
            + "maxMessageIds.");
        meter.CreateObservableGauge("orleansmq.dedupe.remembered", () => SumByTopic(source, static p => p.Dedupe.Remembered), "{id}",
            "Message ids that the partitions of a topic remember on this broker.");
        meter.CreateObservableGauge("orleansmq.schedule.waiting", () => Observe(source, static schedules => schedules.Waiting), "{record}",
            "Scheduled records that wait for their time, by partition of the schedules, on the broker that leads it.");
        meter.CreateObservableCounter("orleansmq.schedule.dropped", () => Observe(source, static schedules => schedules.Dropped),
            "{record}", "Scheduled records that were dropped: their topic was deleted.");
        meter.CreateObservableGauge("orleansmq.disk.free", () => FreeBytes(source), "By",
            "Free bytes of the volume that holds the data directory.");
    }

    private static void Add(Meter meter, MetricSource source, string name, string unit, string description, Func<Partition, long> value) =>
        meter.CreateObservableGauge(name, () => Observe(source, value), unit, description);

    private static IEnumerable<Measurement<long>> Observe(MetricSource source, Func<Partition, long> value)
    {
        foreach (var partition in source.Partitions())
        {
            // What the storage of a failed partition would say is not known.
            if (partition.OfflineReason is null)
                yield return new Measurement<long>(value(partition), new("topic", partition.TopicPartition.Topic),
                    new("partition", partition.TopicPartition.Partition));
        }
    }

    // Only topics with a window, or that had one.
    private static IEnumerable<Measurement<long>> SumByTopic(MetricSource source, Func<Partition, long> value) =>
        source.Partitions().Where(static partition => partition.Config.DedupeWindowMs > 0 || partition.Dedupe.LeftOut > 0)
            .GroupBy(static partition => partition.TopicPartition.Topic)
            .Select(topic => new Measurement<long>(topic.Sum(value), new KeyValuePair<string, object?>("topic", topic.Key)));

    private static IEnumerable<Measurement<long>> Observe(MetricSource source, Func<PartitionSchedules, long> value)
    {
        foreach (var partition in source.Partitions())
        {
            if (partition.BegunSchedules is { } schedules)
                yield return new Measurement<long>(value(schedules), new KeyValuePair<string, object?>("partition",
                    partition.TopicPartition.Partition));
        }
    }

    private static IEnumerable<Measurement<long>> FreeBytes(MetricSource source) =>
        source.FreeBytes() is { } free ? [new Measurement<long>(free)] : [];
}
