namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>The ways in which a broker can break its promises.</summary>
internal enum ViolationKind
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>An acknowledged record is missing.</summary>
    Lost,
    /// <summary>A record is stored twice.</summary>
    Doubled,
    /// <summary>Two records of one producer are out of order.</summary>
    Reordered,
    /// <summary>Offsets without a record, between two that have one.</summary>
    Hole,
    /// <summary>Another record or batch than was observed at this offset before.</summary>
    Changed,
    /// <summary>The latest offset is lower than one that was known before the query.</summary>
    WentBack,
    /// <summary>A record was read at or above the high watermark.</summary>
    BeyondHighWatermark,
    /// <summary>A record that was reported as certainly not written is present.</summary>
    WrittenThoughRefused,
    /// <summary>A record that was never sent.</summary>
    NeverSent,
    /// <summary>Two replicas differ below the high watermark.</summary>
    ReplicasDiffer,
    /// <summary>Bytes that are not a valid batch.</summary>
    Damaged,
    /// <summary>A queue delivered a record whose settlement it had answered.</summary>
    SettledAgain,
    /// <summary>A queue that is ordered by key delivered a record before an earlier one of its key was settled.</summary>
    KeyReordered,
    /// <summary>A refused record has no dead letter.</summary>
    LetterMissing,
    /// <summary>A record has two dead letters.</summary>
    LetterDoubled,
    /// <summary>A dead letter of a record that was not refused, or that differs from its record.</summary>
    LetterWrong,
    /// <summary>A record was delivered or appended before its time.</summary>
    Early,
    /// <summary>A scheduled record was appended although its cancellation had been answered.</summary>
    CameThoughCancelled,
    /// <summary>A message was delivered again without the flag of a redelivery.</summary>
    NotFlagged,
    /// <summary>A message was delivered with a count of failures that it cannot have.</summary>
    CountWrong,
    /// <summary>A reader of committed records saw one of a transaction that is not committed.</summary>
    AbortedRead,
    /// <summary>A part of a transaction is committed.</summary>
    Torn,
    /// <summary>What a producer sent after it was fenced is committed.</summary>
    FencedCommitted,
    /// <summary>Committed transactions each read what another of them wrote, around a cycle: none can be the first.</summary>
    Cycle,
    /// <summary>A transactional id was described as it was before an earlier description.</summary>
    StateWentBack,
    /// <summary>A transaction was described as committed and as aborted.</summary>
    TwoOutcomes,
    /// <summary>A transactional id was described in a phase that it cannot be in.</summary>
    PhaseWrong,
    /// <summary>The last stable offset passed a record before the commit of its transaction was asked for.</summary>
    StableTooEarly,
    /// <summary>In the end something is left open of a transaction.</summary>
    LeftOpen,
}

/// <summary>The violations that the checkers found. Thread safe.</summary>
internal sealed class Violations
{
    // A broken run breaks thousands of promises; the first ones tell the reason.
    private const int Kept = 40;

    private readonly Lock _lock = new();
    private readonly Dictionary<ViolationKind, int> _counts = [];
    private readonly List<string> _first = [];

    /// <summary>Raised for each of the first violations, as it is found.</summary>
    public event Action<string>? Found;

    public void Report(ViolationKind kind, string what)
    {
        var text = $"{kind}: {what}";
        lock (_lock)
        {
            _counts[kind] = _counts.GetValueOrDefault(kind) + 1;
            if (_first.Count == Kept)
                return;
            _first.Add(text);
        }
        Found?.Invoke(text);
    }

    public int Count(ViolationKind kind)
    {
        lock (_lock)
            return _counts.GetValueOrDefault(kind);
    }

    public bool IsEmpty
    {
        get
        {
            lock (_lock)
                return _counts.Count == 0;
        }
    }

    public override string ToString()
    {
        lock (_lock)
            return string.Join('\n', _counts.Select(count => $"{count.Value} x {count.Key}").Concat(_first));
    }
}
