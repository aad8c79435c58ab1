using OrleansMq.Records;

namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>One batch as it lies on a disk.</summary>
internal readonly record struct StoredBatch(RecordBatchHeader Header, ReadOnlyMemory<byte> Bytes);

/// <summary>
/// The batches of one replica's segment files, in the order of their offsets. Reads the files as they are, by the format alone: the code
/// that wrote them is what is judged.
/// </summary>
internal static class ReplicaFiles
{
    /// <summary>All whole batches of a partition's directory; each is valid until the next is asked for.</summary>
    /// <exception cref="InvalidDataException">A file holds something else than batches, before its last one.</exception>
    public static IEnumerable<StoredBatch> Read(string directory)
    {
        foreach (var path in Directory.EnumerateFiles(directory, "*.log").Order(StringComparer.Ordinal))
        {
            foreach (var batch in ReadSegment(path))
                yield return batch;
        }
    }

    private static IEnumerable<StoredBatch> ReadSegment(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1 << 20);
        var bytes = new byte[1 << 16];
        while (file.ReadAtLeast(bytes.AsSpan(0, RecordBatchHeader.Size), RecordBatchHeader.Size,
            throwOnEndOfStream: false) == RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(bytes);
            if (header.SizeInBytes is < RecordBatchHeader.Size or > 1 << 28)
                throw new InvalidDataException($"{path}, before byte {file.Position}: the length field says {header.Length}.");
            if (bytes.Length < header.SizeInBytes)
                Array.Resize(ref bytes, header.SizeInBytes);
            var rest = header.SizeInBytes - RecordBatchHeader.Size;
            if (file.ReadAtLeast(bytes.AsSpan(RecordBatchHeader.Size, rest), rest, throwOnEndOfStream: false) < rest)
                yield break; // Still being written.
            yield return new StoredBatch(header, bytes.AsMemory(0, header.SizeInBytes));
        }
    }
}
