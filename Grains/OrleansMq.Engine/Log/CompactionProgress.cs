using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// How far a log is compacted, in memory and in its file. The file also says that offsets may have gaps: it is written before the first
/// one.
/// </summary>
/// <remarks>
/// <code>
/// NoteGap    the file exists                                  before the first gap
/// Opened     what a damaged file does not say is bounded      once the log is open
/// Begin      end of what is compacted up                      before the first segment of a pass is replaced
/// Erase      end of what is erased up                         before a segment is replaced by one that lacks a record without a trace,
///                                                             and before a replica takes batches from a leader that lacks some
/// Complete   first dirty offset up                            after the last segment of a pass
/// CutTo      first dirty offset and both ends down            before the log is cut or emptied
/// </code>
/// Each change is durable before it returns. A crash between Begin and Complete leaves segments to be cleaned again. Were the end written
/// after the swaps, a cut in between would keep a log that lacks records and those that replaced them.
/// <para>The lock guards changes, and is taken after all other locks of the log. Readers take none.</para>
/// </remarks>
internal sealed class CompactionProgress(IFileSystem files, string directory)
{
    private readonly Lock _lock = new();
    private volatile CompactionState? _state;

    /// <summary>Whether the log may have gaps, and its file says so.</summary>
    public bool Exists => _state is not null;

    /// <summary>The first offset that was never cleaned; -1 if it is not known.</summary>
    public long FirstDirtyOffset => _state?.FirstDirtyOffset ?? -1;

    /// <summary>Below it, records may have been removed in favour of later ones below it. 0 if compaction never ran.</summary>
    public long EndOffset => _state?.EndOffset ?? 0;

    /// <summary>
    /// Below it, records may be missing without a trace: neither they nor later ones that replace them are left, as with a tombstone whose
    /// time has passed. A log that ends below it may still hold what one of them removed. 0 if nothing was erased.
    /// </summary>
    /// <remarks>It may lie above the end of a replica's log, which is still catching up.</remarks>
    public long ErasedEnd => _state?.ErasedEnd ?? 0;

    /// <summary>Reads the file. A damaged one costs time: all is cleaned again.</summary>
    public void Load()
    {
        lock (_lock)
            _state = CompactionCheckpoint.Read(files, directory);
    }

    /// <summary>Bounds what is not known, once the log is open. Of a damaged file the bounds are stored: with another high watermark the
    /// next restart would find others.</summary>
    /// <param name="logEndOffset">The log's end. What is erased may lie as high.</param>
    /// <param name="highWatermark">The high watermark that was stored before the last pass, or later: what is compacted lies below it, and
    /// so does no cut that keeps what is replicated. The log's end if none is known.</param>
    /// <returns>False if the file is damaged.</returns>
    /// <exception cref="IOException">The bounds could not be stored.</exception>
    public bool Opened(long logEndOffset, long highWatermark)
    {
        lock (_lock)
        {
            if (_state is not { } state)
                return true;
            var isKnown = state != CompactionState.Unknown;
            var mostCompacted = isKnown ? logEndOffset : Math.Min(logEndOffset, highWatermark);
            var bounded = state with { EndOffset = Math.Min(state.EndOffset, mostCompacted),
                ErasedEnd = state.ErasedEnd == long.MaxValue ? logEndOffset : state.ErasedEnd };
            if (isKnown)
                _state = bounded;
            else
                Store(bounded);
            return isKnown;
        }
    }

    /// <summary>Writes the file if there is none.</summary>
    /// <param name="logStartOffset">The first dirty offset of a log that was never compacted.</param>
    public void NoteGap(long logStartOffset)
    {
        lock (_lock)
            Store(_state ?? new CompactionState(logStartOffset, 0, 0));
    }

    /// <summary>A pass begins to replace segments.</summary>
    /// <param name="firstDirtyOffset">Where it found the first dirty record.</param>
    /// <param name="endOffset">The end of what it compacts.</param>
    public void Begin(long firstDirtyOffset, long endOffset)
    {
        lock (_lock)
            Raise(firstDirtyOffset, endOffset);
    }

    /// <summary>Records below an offset are about to be erased, or were by the leader whose batches this log takes.</summary>
    public void Erase(long endOffset)
    {
        lock (_lock)
        {
            var state = _state ?? new CompactionState(-1, 0, 0);
            Store(state with { ErasedEnd = Math.Max(endOffset, state.ErasedEnd) });
        }
    }

    /// <summary>A pass has replaced all segments below an offset.</summary>
    public void Complete(long endOffset)
    {
        lock (_lock)
            Raise(endOffset, endOffset);
    }

    /// <summary>The log is about to end at an offset: later records were never cleaned.</summary>
    public void CutTo(long endOffset)
    {
        lock (_lock)
        {
            if (_state is { } state)
                Store(state with { FirstDirtyOffset = Math.Min(state.FirstDirtyOffset, endOffset),
                    EndOffset = Math.Min(state.EndOffset, endOffset), ErasedEnd = Math.Min(state.ErasedEnd, endOffset) });
        }
    }

    private void Raise(long firstDirtyOffset, long endOffset) =>
        Store(new CompactionState(firstDirtyOffset, Math.Max(endOffset, _state?.EndOffset ?? 0), _state?.ErasedEnd ?? 0));

    private void Store(CompactionState state)
    {
        if (state == _state)
            return;
        CompactionCheckpoint.Write(files, directory, state);
        _state = state;
    }
}
