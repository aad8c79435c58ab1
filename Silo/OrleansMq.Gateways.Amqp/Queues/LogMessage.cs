using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Reads one message of a log.</summary>
internal static class LogMessage
{
    // Another large batch is being decompressed.
    private static readonly TimeSpan BusyPause = TimeSpan.FromMilliseconds(20);

    /// <summary>Reads the message at an offset, in memory of its own; null if the log has it no more.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="partition">The log.</param>
    /// <param name="offset">The offset.</param>
    /// <param name="name">The queue's name.</param>
    /// <param name="codecs">The codecs.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="BrokerException">It cannot be read now.</exception>
    public static async ValueTask<AmqpMessage?> ReadAsync(IBroker broker, TopicPartition partition, long offset, string name,
        CompressionCodecs codecs, TimeProvider time)
    {
        using var fetched = await broker.FetchAsync(new FetchRequest(partition, offset, MaxBytes: 1)).ConfigureAwait(false);
        // The log begins after it, or is another one.
        if (fetched.Error == ErrorCode.OffsetOutOfRange)
            return null;
        if (fetched.Error != ErrorCode.None)
            throw Unread(fetched.Error, fetched.Message);
        if (fetched.Records.IsEmpty)
            throw Unread(ErrorCode.OffsetNotAvailable, "The leader does not have it.");
        while (true)
        {
            try
            {
                using var records = new RecordReader(fetched.Records, codecs, takesTurns: true);
                while (records.MoveTo(offset))
                {
                    if (records.Current.Offset >= offset)
                        return records.Current.Offset == offset ? MessageRecords.Copy(records.Current, name) : null;
                }
                // It was compacted.
                return null;
            }
            catch (RecordBatchException busy) when (busy.Error == RecordBatchError.Busy)
            {
                // Its turn comes.
            }
            catch (Exception damaged) when (damaged is RecordBatchException or CodecUnavailableException)
            {
                throw Unread(ErrorCode.CorruptMessage, damaged.Message);
            }
            await Task.Delay(BusyPause, time).ConfigureAwait(false);
        }

        BrokerException Unread(ErrorCode error, string? why) => new(error,
            $"The message at offset {offset} of '{partition}' cannot be read: {why ?? error.ToString()}");
    }
}
