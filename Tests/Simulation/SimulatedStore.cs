using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>The state store: one document, compare-and-swap.</summary>
internal sealed class SimulatedStore(PartitionState state)
{
    private int _version = 1;

    public PartitionState State { get; private set; } = state;
    public string ETag => _version.ToString(System.Globalization.CultureInfo.InvariantCulture);

    public bool TryWrite(PartitionState state, string? etag)
    {
        if (etag != ETag)
            return false;
        State = state;
        _version++;
        return true;
    }
}
