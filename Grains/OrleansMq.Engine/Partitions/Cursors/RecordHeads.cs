using System.Buffers.Text;
using System.Text;
using OrleansMq.Filters;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>Reads the sizes of records, and what their headers say to queues; see <see cref="QueueHeaders"/>.</summary>
internal static class RecordHeads
{
    // The end of the year 9999, in milliseconds since 1970: the last time that clocks, consumers and operators can name.
    private static readonly long LastTime = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    private static readonly byte[] DeliverAt = Encoding.UTF8.GetBytes(QueueHeaders.DeliverAt);
    private static readonly byte[] ExpiresAt = Encoding.UTF8.GetBytes(QueueHeaders.ExpiresAt);
    private static readonly byte[] Priority = Encoding.UTF8.GetBytes(QueueHeaders.Priority);

    /// <inheritdoc cref="RecordScan.Read{T}"/>
    /// <param name="partition">The partition.</param>
    /// <param name="from">The first offset.</param>
    /// <param name="most">The most records.</param>
    /// <param name="timeToLiveMs">That of every record, in milliseconds; 0: only its own counts.</param>
    /// <param name="filter">Which records the queue delivers; null: all.</param>
    /// <param name="end">The records below it are read.</param>
    public static List<RecordHead> Read(Partition partition, long from, int most, long timeToLiveMs, RecordFilter? filter, out long end) =>
        RecordScan.Read(partition, from, most, (in batch, in record) => Of(batch, record, timeToLiveMs) with
        {
            IsFiltered = filter is not null && !filter.Matches(record),
        }, static offset => new RecordHead(offset), out end, out _);

    /// <summary>Returns the head of a record.</summary>
    public static RecordHead Of(in RecordBatchHeader batch, in Record record, long timeToLiveMs)
    {
        var head = new RecordHead(record.Offset, Bytes: record.Value?.Length ?? 0);
        // A producer's clock does not shorten a life: only a time that a broker logged counts.
        if (timeToLiveMs > 0 && batch.IsLogAppendTime)
            head = head with { ExpiresAt = batch.MaxTimestamp + timeToLiveMs };
        if (record.HeaderCount == 0)
            return head;
        foreach (var header in record.ReadHeaders())
        {
            if (header.Value is not { } value || !TryRead(value.Span, out var number))
                continue;
            var name = header.Key.Span;
            if (name.SequenceEqual(DeliverAt))
                head = head with { DeliverAt = Math.Min(number, LastTime) };
            else if (name.SequenceEqual(ExpiresAt))
                head = head with { ExpiresAt = Math.Min(head.ExpiresAt, number) };
            else if (name.SequenceEqual(Priority))
                head = head with { Priority = (int)Math.Min(number, int.MaxValue) };
        }
        return head;
    }

    // A number with more digits than a long has is as the largest: a time too far ahead does not become none.
    private static bool TryRead(ReadOnlySpan<byte> text, out long number)
    {
        if (Utf8Parser.TryParse(text, out number, out var read) && read == text.Length)
            return number >= 0;
        number = long.MaxValue;
        return !text.IsEmpty && !text.ContainsAnyExceptInRange((byte)'0', (byte)'9');
    }
}
