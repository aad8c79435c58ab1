namespace OrleansMq.Storage;

/// <summary>I/O statistics of a file.</summary>
/// <param name="BytesRead">Bytes read.</param>
/// <param name="BytesWritten">Bytes written.</param>
/// <param name="Flushes">Number of calls to <see cref="IFile.Flush"/>.</param>
internal readonly record struct FileTraffic(long BytesRead, long BytesWritten, int Flushes);
