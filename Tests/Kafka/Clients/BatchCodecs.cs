using OrleansMq.Records;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Reads which codecs clients used.</summary>
internal static class BatchCodecs
{
    /// <summary>Returns the codec of each batch.</summary>
    public static List<string> Of(ReadOnlySpan<byte> batches)
    {
        var codecs = new List<string>();
        for (var at = 0; at < batches.Length; at += RecordBatchHeader.Read(batches[at..]).SizeInBytes)
            codecs.Add($"{RecordBatchHeader.Read(batches[at..]).Compression}");
        return codecs;
    }
}
