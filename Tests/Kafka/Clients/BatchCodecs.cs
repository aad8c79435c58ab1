using OrleansMq.Records;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>How clients compressed what they sent.</summary>
internal static class BatchCodecs
{
    /// <summary>The codec of each batch.</summary>
    public static List<string> Of(ReadOnlySpan<byte> batches)
    {
        var codecs = new List<string>();
        for (var at = 0; at < batches.Length; at += RecordBatchHeader.Read(batches[at..]).SizeInBytes)
            codecs.Add($"{RecordBatchHeader.Read(batches[at..]).Compression}");
        return codecs;
    }
}
