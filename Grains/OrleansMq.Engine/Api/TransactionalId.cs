namespace OrleansMq.Api;

/// <summary>The rule for transactional ids: 1 to 255 characters without control characters. A longer id would not fit into a document's
/// key.</summary>
public static class TransactionalId
{
    /// <summary>The maximum length of an id, in characters.</summary>
    public const int MaxLength = 255;

    /// <summary>Returns what is wrong with an id, or null for a valid one.</summary>
    public static string? FindProblem(string? transactionalId)
    {
        if (string.IsNullOrEmpty(transactionalId))
            return "A transactional id has at least one character: set transactional.id.";
        if (transactionalId.Length > MaxLength)
            return $"A transactional id has {MaxLength} characters at most, not {transactionalId.Length}: choose a shorter one.";
        return transactionalId.Any(char.IsControl) ? "A transactional id has no control characters: choose another." : null;
    }
}
