using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>The dependencies that all logs of a broker share.</summary>
/// <param name="Cache">The open files.</param>
/// <param name="Time">The broker's clock.</param>
/// <param name="EngineLog">Gets lines about repairs and faults.</param>
/// <param name="Codecs">Decompress batches.</param>
/// <param name="VerifyOnRead">Whether the CRC of batches is checked on reads.</param>
internal sealed record LogPorts(FileHandleCache Cache, TimeProvider Time, EngineLog EngineLog, CompressionCodecs Codecs, bool VerifyOnRead)
{
    /// <summary>The file system.</summary>
    public IFileSystem Files => Cache.Files;

    /// <summary>The current time in milliseconds since 1970.</summary>
    public long Now => Time.GetUtcNow().ToUnixTimeMilliseconds();
}
