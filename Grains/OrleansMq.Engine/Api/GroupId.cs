namespace OrleansMq.Api;

/// <summary>The rule for group ids: 1 to 255 characters without control characters. A longer id would not fit into a document's
/// key.</summary>
public static class GroupId
{
    /// <summary>The maximum length of an id, in characters.</summary>
    public const int MaxLength = 255;

    /// <summary>Returns what is wrong with an id, or null for a valid one.</summary>
    public static string? FindProblem(string? groupId)
    {
        if (string.IsNullOrEmpty(groupId))
            return "A group id has at least one character: set group.id.";
        if (groupId.Length > MaxLength)
            return $"A group id has {MaxLength} characters at most, not {groupId.Length}: choose a shorter one.";
        return groupId.Any(char.IsControl) ? "A group id has no control characters: choose another." : null;
    }
}
