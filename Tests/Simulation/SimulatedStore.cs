using System.Globalization;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>The state store: one document, compare-and-swap.</summary>
internal sealed class SimulatedStore(PartitionState state)
{
    private int _version = 1;

    public PartitionState State { get; private set; } = state;
    public string ETag => _version.ToString(CultureInfo.InvariantCulture);

    public bool TryWrite(PartitionState state, string? etag)
    {
        if (etag != ETag)
            return false;
        Put(state);
        return true;
    }

    /// <summary>Restores a backup.</summary>
    public void Put(PartitionState state)
    {
        State = state;
        _version++;
    }
}
