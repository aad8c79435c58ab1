using System.Globalization;
using System.Text;

namespace OrleansMq.Client;

/// <summary>Where the reply to a request goes, and until when. Read from the request's headers, of which the last of a name
/// counts.</summary>
/// <param name="Topic">The topic; null where no reply is asked for.</param>
/// <param name="Partition">The partition; null for any.</param>
/// <param name="CorrelationId">The request's id as it came; null without one.</param>
/// <param name="Deadline">When the caller stops waiting; null without a limit.</param>
internal readonly record struct ReplyAddress(string? Topic, int? Partition, ReadOnlyMemory<byte>? CorrelationId, DateTimeOffset? Deadline)
{
    private static readonly byte[] s_replyTo = Encoding.UTF8.GetBytes(RequestHeaders.ReplyTo);
    private static readonly byte[] s_replyPartition = Encoding.UTF8.GetBytes(RequestHeaders.ReplyPartition);
    private static readonly byte[] s_correlationId = Encoding.UTF8.GetBytes(RequestHeaders.CorrelationId);
    private static readonly byte[] s_deadline = Encoding.UTF8.GetBytes(RequestHeaders.Deadline);
    private static readonly long s_lastTime = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    /// <summary>Reads the headers of a request.</summary>
    public static ReplyAddress Of(IReadOnlyList<RecordHeader> headers)
    {
        string? topic = null;
        ReadOnlyMemory<byte>? correlationId = null;
        long? partition = null, deadline = null;
        foreach (var header in headers)
        {
            var name = header.Key.Span;
            if (name.SequenceEqual(s_replyTo))
                topic = header.TextValue() is { Length: > 0 } given ? given : null;
            else if (name.SequenceEqual(s_replyPartition))
                partition = Number(header, int.MaxValue);
            else if (name.SequenceEqual(s_correlationId))
                correlationId = header.Value;
            else if (name.SequenceEqual(s_deadline))
                deadline = Number(header, s_lastTime);
        }
        return new ReplyAddress(topic, (int?)partition, correlationId,
            deadline is { } time ? DateTimeOffset.FromUnixTimeMilliseconds(time) : null);
    }

    /// <summary>Returns the headers of a request.</summary>
    public static RecordHeader[] HeadersFor(TopicPartition replies, string correlationId, DateTimeOffset deadline) =>
    [
        RecordHeaders.Text(RequestHeaders.ReplyTo, replies.Topic),
        RecordHeaders.Text(RequestHeaders.ReplyPartition, OrleansMqDiagnostics.Text(replies.Partition)),
        RecordHeaders.Text(RequestHeaders.CorrelationId, correlationId),
        RecordHeaders.Text(RequestHeaders.Deadline, deadline.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture)),
    ];

    private static long? Number(RecordHeader header, long limit) =>
        long.TryParse(header.TextValue(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= limit
            ? number : null;
}
