using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>Decides which batches a topic accepts from a producer. Pure.</summary>
internal static class AppendChecks
{
    /// <summary>
    /// Checks a batch against the format and the topic's configuration. Its records are read: one that no reader can read would stop all
    /// readers at its offset. Of compressed ones at least those that claim more records than bytes are read.
    /// </summary>
    /// <param name="batch">The batch.</param>
    /// <param name="config">The topic's configuration.</param>
    /// <param name="codecs">The codecs of compressed batches. Where a codec is missing, its batches are accepted unread, unless they claim
    /// more records than bytes.</param>
    /// <param name="verifyCompressed">Whether the records of compressed batches are read, too.</param>
    /// <param name="now">The time, in milliseconds since 1970.</param>
    /// <param name="allowance">Counts what is decompressed, unless null.</param>
    /// <param name="header">The batch's header; without records if the batch is damaged.</param>
    /// <returns>Null if the topic accepts it; otherwise the refusal, with a message that names the field and the limit.</returns>
    public static ProduceResult? Check(ReadOnlyMemory<byte> batch, TopicConfig config, CompressionCodecs codecs, bool verifyCompressed,
        long now, DecompressionAllowance? allowance, out RecordBatchHeader header)
    {
        var isLetter = LetterProducers.IsLetter(batch.Span);
        var most = isLetter && LetterProducers.IsDeadLetter(batch.Span)
            ? Math.Max(config.MaxMessageBytes, LetterProducers.MostBatchBytes) : config.MaxMessageBytes;
        var fault = RecordBatches.ValidateProduced(batch.Span, out header);
        if (fault is not null)
            header = default;
        if (batch.Length > most)
            return ProduceResult.Failed(ErrorCode.MessageTooLarge, $"The batch has {batch.Length} bytes; the topic's max.message.bytes is "
                + $"{config.MaxMessageBytes}.");
        if (fault is not null)
            return ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        if (header is { IsTransactional: true, HasProducer: false })
            return ProduceResult.Failed(ErrorCode.InvalidRecord,
                "The batch belongs to a transaction, and has no producer id: take one with the transactional id (InitProducerId).");
        if (!isLetter && CheckTimestamp(header, config, now) is { } outside)
            return ProduceResult.Failed(ErrorCode.InvalidTimestamp, outside);
        if (config.CleanupCompact)
            return CheckKeys(batch.Span, codecs, allowance);
        // Each offset that a batch takes costs its readers something, whether there is a record or not.
        var isDense = RecordBatches.IsDense(header);
        var isRead = isDense || header.Compression == CompressionType.None || (verifyCompressed && codecs.Has(header.Compression));
        return isRead && RecordBatches.ValidateRecords(batch.Span, codecs, allowance: allowance) is { } bad
            && (isDense || bad.Error != RecordBatchError.BadCodec)
            ? ProduceResult.Failed(bad.Error.ToErrorCode(), bad.Message)
            : null;
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

    private static ProduceResult? CheckKeys(ReadOnlySpan<byte> batch, CompressionCodecs codecs, DecompressionAllowance? allowance)
    {
        var keyless = new List<int>();
        if (RecordBatches.ValidateRecords(batch, codecs, keyless: keyless, allowance: allowance) is { } fault)
            return ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        if (keyless.Count == 0)
            return null;
        var which = keyless.Count == 1 ? $"Record {keyless[0]} of the batch has no key"
            : $"{keyless.Count} records of the batch have no key, the first is number {keyless[0]}";
        return ProduceResult.Failed(ErrorCode.InvalidRecord,
            $"{which}; a compacted topic needs one in each.") with { BadRecords = keyless };
    }
}
