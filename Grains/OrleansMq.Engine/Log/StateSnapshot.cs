using OrleansMq.Dedupe;

namespace OrleansMq.Log;

/// <summary>The kinds of state that a log's batches amount to.</summary>
[Flags]
internal enum StateKinds
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>Idempotent producers.</summary>
    Producers = 1,
    /// <summary>Cursors.</summary>
    Cursors = 2,
    /// <summary>Message ids.</summary>
    Dedupe = 4,
    /// <summary>All of them.</summary>
    All = Producers | Cursors | Dedupe,
}

/// <summary>A snapshot of a log's state that is not written yet. Message ids are encoded after it is taken.</summary>
/// <param name="Offset">It covers all batches below.</param>
/// <param name="Producers">The producers; null if none is known.</param>
/// <param name="Cursors">The cursors; null if there never was one.</param>
/// <param name="Dedupe">The message ids; null if there never was one.</param>
/// <param name="HasTransactions">Whether the log has, or had, a transaction. They have no snapshot of their own.</param>
internal sealed record StateSnapshot(long Offset, PreparedSnapshot? Producers, byte[]? Cursors, DedupeCapture? Dedupe, bool HasTransactions)
{
    /// <summary>What it has.</summary>
    public StateKinds Kinds => (Producers is null ? 0 : StateKinds.Producers) | (Cursors is null ? 0 : StateKinds.Cursors)
        | (Dedupe is null ? 0 : StateKinds.Dedupe);
}
