using OrleansMq.Records;

namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>One batch as stored on disk.</summary>
internal readonly record struct StoredBatch(RecordBatchHeader Header, ReadOnlyMemory<byte> Bytes);

/// <summary>The batches of one replica's segment files, in offset order. Parses the files by the format alone, since the code that wrote
/// them is under test.</summary>
internal static class ReplicaFiles
{
    /// <summary>Returns all whole batches of a partition's directory. Each is valid until the next is read.</summary>
    /// <exception cref="InvalidDataException">A file other than the last contains something other than batches.</exception>
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
                yield break; // The batch is still being written.
            yield return new StoredBatch(header, bytes.AsMemory(0, header.SizeInBytes));
        }
    }
}
