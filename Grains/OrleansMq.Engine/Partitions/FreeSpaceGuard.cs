using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>
/// Refuses appends before the volume is full, so that checkpoints, state and the operator's own work still find room. Asks the system at
/// most
/// once a second or every 32 MiB (what a fast disk takes in a fraction of the reserve's time), and goes on by itself when there is room
/// again.
/// </summary>
internal sealed class FreeSpaceGuard(IFileSystem files, string directory, long minFreeBytes, TimeProvider time)
{
    private const long BytesBetweenChecks = 32L << 20;

    private readonly Lock _lock = new();
    private long _nextCheck = long.MinValue;
    private long _bytesLeft;
    private string? _refusal;

    /// <summary>
    /// Whether so many bytes may be written.
    /// </summary>
    /// <returns>Null when they may; otherwise why not, naming the volume and the fix.</returns>
    public string? Check(long bytes)
    {
        if (minFreeBytes <= 0)
            return null;
        lock (_lock)
        {
            var now = time.GetTimestamp();
            _bytesLeft -= bytes;
            if (_bytesLeft >= 0 && now < _nextCheck)
                return _refusal;
            _nextCheck = now + time.TimestampFrequency;
            _bytesLeft = BytesBetweenChecks;
            var free = files.GetFreeSpace(directory);
            _refusal = free >= minFreeBytes
                ? null
                : $"The volume of '{directory}' has {free >> 20} MiB left, and appends are refused below {minFreeBytes >> 20} MiB. Free "
                    + "some space, or lower "
                    + "retention.ms or retention.bytes of some topics; appends go on by themselves.";
            return _refusal;
        }
    }
}
