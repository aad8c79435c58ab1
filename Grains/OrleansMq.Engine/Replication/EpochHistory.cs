using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>Look-ups in a replica's epochs: which offsets were written in which, oldest first. Pure.</summary>
internal static class EpochHistory
{
    /// <summary>The latest epoch with its start; <see cref="LeaderEpochCache.None"/> where there is none.</summary>
    public static LeaderEpochEntry Latest(IReadOnlyList<LeaderEpochEntry> epochs) => epochs.Count == 0 ? LeaderEpochCache.None : epochs[^1];

    /// <summary>The epoch an offset belongs to, whether or not compaction left it there; -1 where it is below all that are known.</summary>
    public static int EpochOf(IReadOnlyList<LeaderEpochEntry> epochs, long offset)
    {
        for (var i = epochs.Count - 1; i >= 0; i--)
        {
            if (epochs[i].StartOffset <= offset)
                return epochs[i].Epoch;
        }
        return -1;
    }

    /// <summary>The entries from an epoch on that begin below an offset.</summary>
    public static IReadOnlyList<LeaderEpochEntry> From(IReadOnlyList<LeaderEpochEntry> epochs, int first, long below)
    {
        if (epochs.Count > 0 && epochs[^1].Epoch == first)
            return [epochs[^1]];
        return [.. epochs.Where(e => e.Epoch >= first && e.StartOffset < below)];
    }
}
