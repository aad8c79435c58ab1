using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>Copies a batch in which the broker changes more than offset and epoch: another codec, or timestamps of the append. The sender
/// keeps its own bytes unchanged, since it may send them again.</summary>
internal static class BatchConversion
{
    /// <summary>Whether the topic stores the batch in another form.</summary>
    public static bool IsNeeded(in RecordBatchHeader header, TopicConfig config) =>
        config.TimestampType == TimestampType.LogAppendTime || (config.CompressionType is { } wanted && wanted != header.Compression);

    /// <summary>Gives the operation a copy of its batch, in the topic's codec.</summary>
    /// <returns>Null on success; otherwise the refusal, and the operation is as it was.</returns>
    public static ProduceResult? TryConvert(AppendOperation operation, TopicConfig config, CompressionCodecs codecs,
        DecompressionAllowance? allowance)
    {
        var copy = new PooledBuffer(operation.Batch.Length);
        try
        {
            RecordBatchRewriter.Recompress(operation.Batch.Span, config.CompressionType ?? operation.Header.Compression, codecs, copy,
                allowance);
        }
        catch (CodecUnavailableException fault)
        {
            copy.Dispose();
            return ProduceResult.Failed(ErrorCode.UnsupportedCompressionType, fault.Message);
        }
        catch (RecordBatchException fault)
        {
            copy.Dispose();
            return ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        }
        operation.Owned = copy;
        operation.Batch = copy.WrittenMemory;
        operation.Header = RecordBatchHeader.Read(copy.WrittenSpan);
        return null;
    }
}
