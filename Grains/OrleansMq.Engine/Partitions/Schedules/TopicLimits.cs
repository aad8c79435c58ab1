using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Schedules;

/// <summary>What a topic refuses by its configuration. Pure.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="IsCompacted">Whether it refuses records without key.</param>
/// <param name="MaxMessageBytes">The most bytes of a batch.</param>
internal sealed record TopicLimits(string Topic, bool IsCompacted, int MaxMessageBytes)
{
    /// <summary>Returns the limits of a topic.</summary>
    public static TopicLimits Of(TopicDescription topic)
    {
        var configs = topic.Configs.ToDictionary(static config => config.Name, static config => config.Value);
        return new TopicLimits(topic.Name, configs["cleanup.policy"].Split(',').Contains("compact"),
            int.Parse(configs["max.message.bytes"], CultureInfo.InvariantCulture));
    }

    /// <summary>Returns why the topic refuses a record, with the limit; null: it takes it.</summary>
    public (ErrorCode Code, string Message)? RefusalOf(ReadOnlyMemory<byte>? key, ReadOnlyMemory<byte>? value,
        IReadOnlyList<RecordHeader> headers)
    {
        if (IsCompacted && key is null)
            return (ErrorCode.InvalidRecord, $"'{Topic}' is compacted (cleanup.policy): its records need a key.");
        return SizeOf(key, value, [.. headers]) is var size && size > MaxMessageBytes
            ? (ErrorCode.MessageTooLarge, $"The record takes a batch of {size} bytes; max.message.bytes of '{Topic}' is {MaxMessageBytes}.")
            : null;
    }

    /// <summary>Says how a topic comes to take a record again that it refuses.</summary>
    public static string Remedy(string topic, ErrorCode code) => code == ErrorCode.MessageTooLarge
        ? $"Raise the limit (omq topic alter {topic} --config max.message.bytes=...), or cancel the schedule."
        : $"Change its configuration (omq topic alter {topic} --config cleanup.policy=delete), or cancel the schedule.";

    // Of the batch that has this record alone. Exact only near the limit.
    private int SizeOf(ReadOnlyMemory<byte>? key, ReadOnlyMemory<byte>? value, RecordHeader[] headers)
    {
        var most = RecordBatchHeader.Size + RecordBatchBuilder.MaxRecordSize(key?.Length ?? 0, value?.Length ?? 0, headers);
        if (most <= MaxMessageBytes)
            return most;
        using var builder = new RecordBatchBuilder();
        builder.Add(timestamp: 0, key.GetValueOrDefault().Span, key.HasValue, value.GetValueOrDefault().Span, value.HasValue, headers);
        return builder.Build().Length;
    }
}
