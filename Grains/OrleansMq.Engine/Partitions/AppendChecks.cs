using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>Decides which batches a topic accepts from a producer. Pure.</summary>
internal static class AppendChecks
{
    /// <summary>
    /// Checks a batch against the format and the topic's configuration.
    /// </summary>
    /// <returns>Null if the topic accepts it; otherwise the refusal, with a message that names the field and the limit.</returns>
    public static ProduceResult? Check(ReadOnlyMemory<byte> batch, TopicConfig config, CompressionCodecs codecs,
        long now, out RecordBatchHeader header)
    {
        if (batch.Length > config.MaxMessageBytes)
        {
            header = default;
            return ProduceResult.Failed(ErrorCode.MessageTooLarge, $"The batch has {batch.Length} bytes; the topic's max.message.bytes is "
                + $"{config.MaxMessageBytes}.");
        }
        if (RecordBatches.ValidateProduced(batch.Span, out header) is { } fault)
            return ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        if (header.IsTransactional)
            return ProduceResult.Failed(ErrorCode.InvalidRecord,
                "The batch belongs to a transaction; this broker has no transactions yet. Send it without.");
        if (CheckTimestamp(header, config, now) is { } outside)
            return ProduceResult.Failed(ErrorCode.InvalidTimestamp, outside);
        return config.CleanupCompact ? CheckKeys(batch, codecs) : null;
    }

    // Both limits apply to the header's largest timestamp. The records' own timestamps are not read.
    private static string? CheckTimestamp(in RecordBatchHeader header, TopicConfig config, long now)
    {
        if (config.TimestampType == TimestampType.LogAppendTime)
            return null;
        if (header.MaxTimestamp > now && header.MaxTimestamp - now > config.TimestampAfterMaxMs)
            return $"The batch's largest timestamp {header.MaxTimestamp} is {header.MaxTimestamp - now} ms ahead of the broker's clock; "
                + "message.timestamp.after.max.ms is "
                + $"{config.TimestampAfterMaxMs}.";
        if (header.MaxTimestamp >= 0 && now > header.MaxTimestamp && now - header.MaxTimestamp > config.TimestampBeforeMaxMs)
            return $"The batch's largest timestamp {header.MaxTimestamp} is {now - header.MaxTimestamp} ms behind the broker's clock; "
                + "message.timestamp.before.max.ms is "
                + $"{config.TimestampBeforeMaxMs}.";
        return null;
    }

    private static ProduceResult? CheckKeys(ReadOnlyMemory<byte> batch, CompressionCodecs codecs)
    {
        try
        {
            List<int>? keyless = null;
            using var reader = new RecordReader(batch, codecs, verifyCrc: false);
            for (var i = 0; reader.MoveNext(); i++)
            {
                if (reader.Current.Key is null)
                    (keyless ??= []).Add(i);
            }
            if (keyless is null)
                return null;
            var which = keyless.Count == 1 ? $"Record {keyless[0]} of the batch has no key"
                : $"{keyless.Count} records of the batch have no key, the first is number {keyless[0]}";
            return ProduceResult.Failed(ErrorCode.InvalidRecord,
                $"{which}; a compacted topic needs one in each.") with { BadRecords = keyless };
        }
        catch (RecordBatchException fault)
        {
            return ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        }
        catch (CodecUnavailableException fault)
        {
            return ProduceResult.Failed(ErrorCode.UnsupportedCompressionType, fault.Message);
        }
    }
}
