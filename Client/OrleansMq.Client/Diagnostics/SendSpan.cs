using System.Diagnostics;

namespace OrleansMq.Client;

/// <summary>The span of a record that is sent, and the record's headers with its trace.</summary>
internal sealed class SendSpan
{
    private readonly Activity? _activity;

    private SendSpan(Activity? activity, ReadOnlyMemory<RecordHeader> headers)
    {
        _activity = activity;
        Headers = headers;
    }

    /// <summary>The record's headers with the trace. A record that has a trace already keeps it.</summary>
    public ReadOnlyMemory<RecordHeader> Headers { get; }

    /// <summary>Starts the span of a record; null if nothing listens. The caller's current activity stays.</summary>
    public static SendSpan? Begin(string topic, ReadOnlyMemory<RecordHeader> headers)
    {
        if (!OrleansMqDiagnostics.Source.HasListeners())
            return null;
        var outer = Activity.Current;
        var tags = new TagList
        {
            { "messaging.system", OrleansMqDiagnostics.SystemName },
            { "messaging.operation.type", "send" },
            { "messaging.operation.name", "send" },
            { "messaging.destination.name", topic },
        };
        var activity = OrleansMqDiagnostics.Source.StartActivity($"send {topic}", ActivityKind.Producer, default(ActivityContext), tags);
        // It ends on another thread, when the broker has answered.
        Activity.Current = outer;
        return (activity ?? outer) is { } trace ? new SendSpan(activity, WithTrace(headers, trace)) : null;
    }

    /// <summary>Ends the span of a delivered record, or of one whose delivery is not reported.</summary>
    public void End(TopicPartition? partition = null, long offset = -1)
    {
        if (_activity is not { } activity)
            return;
        if (partition is { Partition: >= 0 } known)
            activity.SetTag("messaging.destination.partition.id", OrleansMqDiagnostics.Text(known.Partition));
        if (offset >= 0)
            activity.SetTag("messaging.orleansmq.offset", offset);
        activity.Dispose();
    }

    /// <summary>Ends the span of a record that was not delivered, or whose sender waits no longer.</summary>
    public void Fail(Exception failure)
    {
        _activity?.SetFailed(failure);
        _activity?.Dispose();
    }

    /// <summary>Ends the span with the report of a delivery, before the application receives it. A listener to the span that throws does
    /// not keep the report from the application.</summary>
    public Action<DeliveryReport> Before(Action<DeliveryReport> callback) => report =>
    {
        // The end of a span makes the sender's activity the current one. The sending loop, which reports, goes on with other records.
        var current = Activity.Current;
        try
        {
            if (report.Error is { } error)
                Fail(error);
            else
                End(report.TopicPartition, report.Offset);
        }
        finally
        {
            try
            {
                callback(report);
            }
            finally
            {
                Activity.Current = current;
            }
        }
    };

    private static ReadOnlyMemory<RecordHeader> WithTrace(ReadOnlyMemory<RecordHeader> headers, Activity trace)
    {
        foreach (ref readonly var header in headers.Span)
        {
            if (header.Key.Span.SequenceEqual("traceparent"u8))
                return headers;
        }
        List<RecordHeader> added = [.. headers.Span];
        DistributedContextPropagator.Current.Inject(trace, added,
            static (carrier, name, value) => ((List<RecordHeader>)carrier!).Add(RecordHeaders.Text(name, value)));
        return added.ToArray();
    }
}
