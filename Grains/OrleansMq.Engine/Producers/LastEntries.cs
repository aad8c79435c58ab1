namespace OrleansMq.Producers;

/// <summary>What of a live producer a log must keep, whatever is cleaned: a recovery by scan, and a follower that begins, find the
/// producer's state in it.</summary>
/// <param name="DataOffset">The last offset of its latest batch of this epoch; -1 for none.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="CoordinatorEpoch">The epoch of the coordinator that ended its last transaction; -1 for none.</param>
/// <param name="Number">The highest number of its ended transactions; 0 if none had a number.</param>
internal readonly record struct LastEntries(long DataOffset, short Epoch, int CoordinatorEpoch, long Number)
{
    /// <summary>Whether a marker is the one that tells of the producer's last transaction. Of markers without a number all of the last
    /// coordinator are: they do not tell which was the last.</summary>
    public bool Needs(in TransactionMarker marker) =>
        marker.Number > 0 ? marker.Number == Number : marker.CoordinatorEpoch == CoordinatorEpoch;
}
