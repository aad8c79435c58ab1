using OrleansMq.Diagnostics;

namespace OrleansMq.Coordination;

/// <summary>How far one document is written. Versions count the changes of the working state.</summary>
internal sealed class DocumentVersions
{
    private long _inFlight;

    /// <summary>The version of the working state.</summary>
    public long Working { get; private set; }

    /// <summary>The version that is stored.</summary>
    public long Stored { get; private set; }

    /// <summary>The first version that this coordinator stored, or found stored as its own.</summary>
    public long FirstServed { get; private set; }

    /// <summary>Whether a change is to be written, or on its way.</summary>
    public bool IsBehind => Working > Stored;

    /// <summary>Whether a write is on its way.</summary>
    public bool IsInFlight => _inFlight > 0;

    /// <summary>The number of the last write among all reads and writes of the coordinator.</summary>
    public long Operation { get; set; }

    /// <summary>Whether the last write deletes.</summary>
    public bool IsDelete { get; private set; }

    /// <summary>Whether a write that was given up may still reach the store. A later one that is stored rules that out: the other then
    /// loses its compare-and-swap.</summary>
    public bool MayChange { get; set; }

    public void Change() => Working++;

    public void ChangeAndServeFromThere() => FirstServed = ++Working;

    /// <summary>The working state was made from what is stored.</summary>
    /// <param name="isStored">False: the document is to be written all the same, since it does not carry this coordinator's claim.</param>
    public void Adopt(bool isStored)
    {
        Working++;
        if (isStored)
            Stored = Working;
        FirstServed = Working;
    }

    public bool TryBegin(bool isDelete, out long version)
    {
        version = Working;
        if (IsInFlight || !IsBehind)
            return false;
        (_inFlight, IsDelete) = (version, isDelete);
        return true;
    }

    public void Complete(long version, CoordinatorRules rules)
    {
        Invariant.Check(version == _inFlight, "a write completed that was not in flight");
        (_inFlight, Stored, MayChange) = (0, rules.StoredBy(version, Working), false);
    }

    public void Fail() => _inFlight = 0;
}
