using OrleansMq.Diagnostics;
using OrleansMq.Queues;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>The snapshots in a partition's directory of a state that control batches decide.</summary>
/// <param name="files">The disk.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="log">Logs damaged snapshots.</param>
/// <param name="kind">The suffix of their files, of <see cref="LogFiles"/>.</param>
/// <param name="tryDecode">Reads a snapshot's content; null where it is damaged.</param>
internal sealed class ControlSnapshots<TState>(
    IFileSystem files, string directory, EngineLog log, string kind, Func<ReadOnlySpan<byte>, TState?> tryDecode)
    where TState : class, new()
{
    /// <summary>Their files.</summary>
    public SnapshotFiles Files { get; } = new(files, directory, log, kind);

    /// <summary>Reads the latest intact snapshot between two offsets. Deletes damaged ones found on the way.</summary>
    /// <param name="logStartOffset">Where to start without a snapshot: the base offset of the first segment.</param>
    /// <param name="maxOffset">The offset to recover or truncate to; snapshots above it are ignored.</param>
    /// <returns>The state, and the offset from which batches must be applied.</returns>
    public (TState State, long From) Load(long logStartOffset, long maxOffset)
    {
        TState? state = null;
        var from = Files.Load(logStartOffset, maxOffset, offset => (state = TryRead(offset)) is null ? null : true);
        return (state ?? new TState(), from ?? logStartOffset);
    }

    private TState? TryRead(long offset)
    {
        try
        {
            return Files.TryRead(offset) is { } content ? tryDecode(content) : null;
        }
        catch (Exception exception) when (exception is UnknownTransitionException or InvalidDataException)
        {
            // A later version wrote it. The log tells whether this one can follow.
            return null;
        }
    }
}
