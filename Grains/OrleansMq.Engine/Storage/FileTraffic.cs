namespace OrleansMq.Storage;

/// <summary>What went through a file.</summary>
/// <param name="BytesRead">Bytes read.</param>
/// <param name="BytesWritten">Bytes written.</param>
/// <param name="Flushes">Calls of <see cref="IFile.Flush"/>.</param>
public readonly record struct FileTraffic(long BytesRead, long BytesWritten, int Flushes);
