using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>
/// Refuses appends before the volume is full, so that checkpoints, state and the operator's own work still find room. It asks the system
/// once a second, and after every 32 MiB, which is a small part of the reserve. When there is room again, appends go on by themselves. Both
/// is logged, refusals rarely.
/// </summary>
internal sealed class FreeSpaceGuard(IFileSystem files, string directory, long minFreeBytes, TimeProvider time, EngineLog log)
{
    private const long BytesBetweenChecks = 32L << 20;

    private readonly Lock _lock = new();
    private readonly RareLine _refused = new(log, time);
    private long _nextCheck = long.MinValue;
    private long _bytesLeft;
    private string? _refusal;

    /// <summary>
    /// Whether this many bytes may be written.
    /// </summary>
    /// <returns>Null if so; otherwise the refusal, with the volume and the fix.</returns>
    public string? Check(long bytes)
    {
        if (minFreeBytes <= 0)
            return null;
        var refusal = Find(bytes);
        if (refusal is not null)
            _refused.Write(EngineLogLevel.Warning, refusal);
        return refusal;
    }

    private string? Find(long bytes)
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            _bytesLeft -= bytes;
            if (_bytesLeft >= 0 && now < _nextCheck)
                return _refusal;
            _nextCheck = now + time.TimestampFrequency;
            _bytesLeft = BytesBetweenChecks;
            var free = files.GetFreeSpace(directory);
            if (_refusal is not null && free >= minFreeBytes)
                log.Write(EngineLogLevel.Information, $"The volume of '{directory}' has {free >> 20} MiB left: appends go on.");
            _refusal = free >= minFreeBytes
                ? null
                : $"The volume of '{directory}' has {free >> 20} MiB left, and appends are refused below {minFreeBytes >> 20} MiB. Free "
                    + "some space, or lower retention.ms or retention.bytes of some topics; appends go on by themselves.";
            return _refusal;
        }
    }
}
