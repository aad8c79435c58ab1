using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>The document of one transactional id in the store, with compare-and-swap and history.</summary>
internal sealed class SimulatedDocument
{
    private readonly List<TransactionState?> _history = [null];
    private TransactionContent? _content;
    private long _version;
    // What a reader parses of the stored bytes; null: not read since the last write.
    private TransactionDocument? _read;

    /// <summary>Never given twice, except 0: there is no document.</summary>
    public long Version { get; private set; }
    public TransactionState? State => _content?.State;
    public CoordinatorClaim? Claim => _content?.Coordinator;
    /// <summary>All stored states in their order; null where it was deleted.</summary>
    public IReadOnlyList<TransactionState?> History => _history;

    /// <summary>Writes or deletes if the stored document still has that version.</summary>
    public bool TryWrite(TransactionContent? content, long version)
    {
        if (version != Version)
            return false;
        Put(content);
        return true;
    }

    public void Put(TransactionContent? content)
    {
        (_content, _read) = (content, null);
        Version = content is null ? 0 : ++_version;
        _history.Add(content?.State);
    }

    /// <summary>Reads the stored bytes and parses them. No reader gets the state that another one has, since a core compares states by
    /// reference.</summary>
    public StoredTransaction Read() =>
        _content is { } content ? new(_read ??= TransactionDocument.Parse(content.ToBytes())) : StoredTransaction.None;
}
