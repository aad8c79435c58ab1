using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>What an append is for; it decides how much of the reserve must stay free.</summary>
internal enum SpaceUse
{
    /// <summary>Never passed.</summary>
    Unknown = 0,
    /// <summary>A producer's batch: the whole reserve stays free.</summary>
    Produced = 1,
    /// <summary>A batch that the leader has accepted: half of the reserve stays free, so that a follower on a volume of the same size keeps
    /// up with its leader.</summary>
    Replicated = 2,
    /// <summary>A control batch of queues: a quarter of the reserve stays free. It lets segments go.</summary>
    Control = 3,
}

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
    // By the last check, less what was written since.
    private long _free;
    private bool _isShort;

    /// <summary>
    /// Whether this many bytes may be written.
    /// </summary>
    /// <returns>Null if so; otherwise the refusal, with the volume and the fix.</returns>
    public string? Check(long bytes, SpaceUse use)
    {
        if (minFreeBytes <= 0)
            return null;
        var refusal = Find(bytes, use);
        if (refusal is not null)
            _refused.Write(EngineLogLevel.Warning, refusal);
        return refusal;
    }

    /// <summary>Whether appends of producers are refused.</summary>
    public bool IsShort()
    {
        if (minFreeBytes <= 0)
            return false;
        lock (_lock)
        {
            if (time.GetTimestamp() is var now && now >= _nextCheck)
                Ask(now);
            return _isShort;
        }
    }

    private string? Find(long bytes, SpaceUse use)
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            _bytesLeft -= bytes;
            if (_bytesLeft < 0 || now >= _nextCheck)
                Ask(now);
            var (least, what) = use switch
            {
                SpaceUse.Produced => (minFreeBytes, "appends"),
                SpaceUse.Replicated => (minFreeBytes / 2, "appends of leaders"),
                SpaceUse.Control => (minFreeBytes / 4, "settlements of queues"),
                _ => throw new ArgumentOutOfRangeException(nameof(use), use, null),
            };
            if (_free < least)
                return $"The volume of '{directory}' has {_free >> 20} MiB left, and {what} are refused below {least >> 20} MiB. Free some "
                    + "space, or lower retention.ms or retention.bytes of some topics; appends go on by themselves.";
            _free -= bytes;
            return null;
        }
    }

    private void Ask(long now)
    {
        _nextCheck = now + time.TimestampFrequency;
        _bytesLeft = BytesBetweenChecks;
        _free = files.GetFreeSpace(directory);
        if (_isShort && _free >= minFreeBytes)
            log.Write(EngineLogLevel.Information, $"The volume of '{directory}' has {_free >> 20} MiB left: appends go on.");
        _isShort = _free < minFreeBytes;
    }
}
