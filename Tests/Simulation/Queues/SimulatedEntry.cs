using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>What stands at an offset of a simulated log.</summary>
/// <param name="Epoch">The leader epoch that appended it.</param>
/// <param name="HasRecord">Whether it is a record; otherwise it settles by nature.</param>
/// <param name="Key">The record's key.</param>
/// <param name="Head">The record's times and priority; its offset is not set.</param>
/// <param name="Transitions">What a control record says, as its bytes were read; null: none.</param>
internal sealed record SimulatedEntry(int Epoch, bool HasRecord, long? Key = null, RecordHead Head = default,
    IReadOnlyList<CursorTransition>? Transitions = null)
{
    /// <summary>Whether it is a record, and the filter matches it.</summary>
    public bool IsWanted => HasRecord && !Head.IsFiltered;
}

/// <summary>A replica: its log, and the cursors that it derives from it.</summary>
internal sealed class SimulatedReplica(QueueSimulation simulation, int number)
{
    private readonly List<(long Offset, byte[] Bytes)> _snapshots = [];
    // The entries that are the leader's, of that epoch.
    private int _followed;
    private int _same;

    public int Number => number;
    public List<SimulatedEntry> Log { get; } = [];
    public LogCursors Cursors { get; private set; } = new();
    public bool IsConnected { get; set; } = true;
    public bool IsInSync { get; set; } = true;
    public long End => Log.Count;
    public int LastEpoch => Log.Count == 0 ? 0 : Log[^1].Epoch;

    public void Append(SimulatedEntry entry)
    {
        Log.Add(entry);
        if (entry.Transitions is not null)
            Cursors.Apply(End - 1, entry.Transitions);
    }

    /// <summary>Copies a leader's log, from where this one differs.</summary>
    public void Follow(SimulatedReplica leader, int epoch, int most)
    {
        var same = _followed == epoch ? _same : 0;
        while (same < Log.Count && same < leader.Log.Count && ReferenceEquals(Log[same], leader.Log[same]))
            same++;
        if (same < Log.Count)
        {
            simulation.Figures.Cut += Log.Skip(same).Count(entry => entry.Transitions is not null);
            Log.RemoveRange(same, Log.Count - same);
            _snapshots.RemoveAll(snapshot => snapshot.Offset > same);
            Rebuild();
        }
        for (var left = most; left > 0 && Log.Count < leader.Log.Count; left--)
            Append(leader.Log[Log.Count]);
        (_followed, _same) = (epoch, Log.Count);
    }

    public void TakeSnapshot() => _snapshots.Add((End, Cursors.EncodeSnapshot()));

    /// <summary>A power cut: what was in memory is gone, and perhaps the newest snapshot.</summary>
    public void Restart(bool losesSnapshot)
    {
        if (losesSnapshot && _snapshots.Count > 0)
            _snapshots.RemoveAt(_snapshots.Count - 1);
        Rebuild();
    }

    // From the newest snapshot; without one, from the log's start.
    private void Rebuild()
    {
        simulation.Figures.Rebuilds++;
        _snapshots.RemoveAll(snapshot => snapshot.Offset < simulation.LogStart);
        var (from, bytes) = _snapshots.Count > 0 ? _snapshots[^1] : (Math.Min(simulation.LogStart, End), null);
        Cursors = (bytes is null ? new LogCursors() : LogCursors.TryDecodeSnapshot(bytes))
            ?? throw new Verdict("A snapshot cannot be read.");
        for (var offset = from; offset < End; offset++)
        {
            if (Log[(int)offset].Transitions is { } transitions)
                Cursors.Apply(offset, transitions);
        }
    }
}
