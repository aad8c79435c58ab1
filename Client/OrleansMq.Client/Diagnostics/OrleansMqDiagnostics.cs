using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <summary>
/// Traces and metrics of the client library, by OpenTelemetry's conventions for messaging: <c>AddSource(OrleansMqDiagnostics.Name)</c> and
/// <c>AddMeter(OrleansMqDiagnostics.Name)</c>. A record that is sent while the source is listened to carries <c>traceparent</c> in its
/// headers, and the span of its handler continues that trace.
/// </summary>
public static partial class OrleansMqDiagnostics
{
    /// <summary>The name of the activity source and of the meter.</summary>
    public const string Name = "OrleansMq.Client";

    internal const string SystemName = "orleansmq";

    internal static ActivitySource Source { get; } = new(Name);

    internal static Meter Meter { get; } = new(Name);

    internal static Counter<long> Sent { get; } = Meter.CreateCounter<long>("messaging.client.sent.messages", "{message}",
        "Records delivered to the broker, or given up (error.type).");

    internal static Histogram<double> SendDuration { get; } = Meter.CreateHistogram<double>("messaging.client.operation.duration", "s",
        "From the first record of a batch to its outcome, all retries included.");

    internal static Counter<long> Consumed { get; } = Meter.CreateCounter<long>("messaging.client.consumed.messages", "{message}",
        "Records handed out to the application.");

    internal static Histogram<double> ProcessDuration { get; } = Meter.CreateHistogram<double>("messaging.process.duration", "s",
        "One attempt of a message handler.");

    internal static Counter<long> DeadLettered { get; } = Meter.CreateCounter<long>("orleansmq.client.dead_lettered.messages", "{message}",
        "Records written to a dead-letter topic.");

    /// <summary>
    /// Starts a span of the processing of a record, in the trace of its sender, for consumers that are read by hand:
    /// <c>using var span = record.StartProcessing("billing");</c>. Message handlers have one without it.
    /// </summary>
    /// <param name="record">The record.</param>
    /// <param name="groupId">The consumer's group; null without one.</param>
    /// <returns>Null if no listener wants it.</returns>
    public static Activity? StartProcessing<TKey, TValue>(this ConsumeResult<TKey, TValue> record, string? groupId = null)
    {
        if (!Source.HasListeners())
            return null;
        var topic = record.TopicPartition.Topic;
        return Source.StartActivity($"process {topic}", ActivityKind.Consumer, SenderOf(record.Headers), new TagList
        {
            { "messaging.system", SystemName },
            { "messaging.operation.type", "process" },
            { "messaging.operation.name", "process" },
            { "messaging.destination.name", topic },
            { "messaging.destination.partition.id", Text(record.TopicPartition.Partition) },
            { "messaging.orleansmq.offset", record.Offset },
            { "messaging.consumer.group.name", groupId },
        });
    }

    /// <summary>The tags of records of a partition.</summary>
    internal static TagList TagsOf(TopicPartition partition, string operation, string? groupId = null, string? error = null)
    {
        var tags = new TagList
        {
            { "messaging.system", SystemName },
            { "messaging.operation.name", operation },
            { "messaging.destination.name", partition.Topic },
        };
        if (partition.Partition >= 0)
            tags.Add("messaging.destination.partition.id", Text(partition.Partition));
        if (groupId is not null)
            tags.Add("messaging.consumer.group.name", groupId);
        if (error is not null)
            tags.Add("error.type", error);
        return tags;
    }

    internal static void SetFailed(this Activity span, Exception failure)
    {
        span.SetStatus(ActivityStatusCode.Error, failure.Message);
        span.SetTag("error.type", failure is OrleansMqException { Code: not ErrorCode.None } known ? known.Code.ToString()
            : failure.GetType().FullName);
        span.AddException(failure);
    }

    [LoggerMessage(4, LogLevel.Error, "A listener to the metrics or spans of {TopicPartition} threw.")]
    internal static partial void LogListenerFailed(ILogger logger, Exception exception, TopicPartition topicPartition);

    internal static string Text(int number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static ActivityContext SenderOf(IReadOnlyList<RecordHeader> headers)
    {
        string? parent = null, state = null;
        foreach (var header in headers)
        {
            if (header.Key.Span.SequenceEqual("traceparent"u8))
                parent = header.TextValue();
            else if (header.Key.Span.SequenceEqual("tracestate"u8))
                state = header.TextValue();
        }
        return ActivityContext.TryParse(parent, state, isRemote: true, out var sender) ? sender : default;
    }
}
