using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>Lookups in a replica's epochs and their start offsets, oldest first. Pure.</summary>
internal static class EpochHistory
{
    /// <summary>Returns the latest epoch with its start; <see cref="LeaderEpochCache.None"/> if there is none.</summary>
    public static LeaderEpochEntry Latest(IReadOnlyList<LeaderEpochEntry> epochs) => epochs.Count == 0 ? LeaderEpochCache.None : epochs[^1];

    /// <summary>Returns the epoch of an offset, even if compaction removed its record; -1 if it is below all known epochs.</summary>
    public static int EpochOf(IReadOnlyList<LeaderEpochEntry> epochs, long offset)
    {
        for (var i = epochs.Count - 1; i >= 0; i--)
        {
            if (epochs[i].StartOffset <= offset)
                return epochs[i].Epoch;
        }
        return -1;
    }

    /// <summary>Returns the entries from an epoch on that begin below an offset.</summary>
    public static IReadOnlyList<LeaderEpochEntry> From(IReadOnlyList<LeaderEpochEntry> epochs, int first, long below)
    {
        if (epochs.Count > 0 && epochs[^1].Epoch == first)
            return [epochs[^1]];
        return [.. epochs.Where(e => e.Epoch >= first && e.StartOffset < below)];
    }
}
