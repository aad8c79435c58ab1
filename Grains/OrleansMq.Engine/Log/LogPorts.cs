using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>What all logs of a broker share.</summary>
/// <param name="Cache">The open files.</param>
/// <param name="Time">The broker's clock.</param>
/// <param name="Log">Where repairs and faults are told.</param>
/// <param name="Codecs">To look into compressed batches with.</param>
/// <param name="VerifyOnRead">Whether the CRC of batches is checked as they are read.</param>
internal sealed record LogPorts(FileHandleCache Cache, TimeProvider Time, EngineLog Log, CompressionCodecs Codecs, bool VerifyOnRead)
{
    /// <summary>The disk.</summary>
    public IFileSystem Files => Cache.Files;

    /// <summary>Milliseconds since 1970.</summary>
    public long Now => Time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>What a broker's options amount to.</summary>
    public static LogPorts For(BrokerOptions options) => new(
        new FileHandleCache(options.FileSystem ?? new DiskFileSystem(), options.MaxOpenFiles), options.TimeProvider, options.Log,
            options.Codecs,
        options.VerifyOnRead);
}
