namespace OrleansMq.Api;

/// <summary>Which ids a group may have: 1 to 255 characters, none of them a control character. More than that fits no document's
/// key.</summary>
public static class GroupId
{
    /// <summary>The longest id.</summary>
    public const int MaxLength = 255;

    /// <summary>What is wrong with an id; null for nothing.</summary>
    public static string? FindProblem(string? groupId)
    {
        if (string.IsNullOrEmpty(groupId))
            return "A group id has at least one character: set group.id.";
        if (groupId.Length > MaxLength)
            return $"A group id has {MaxLength} characters at most, not {groupId.Length}: choose a shorter one.";
        return groupId.Any(char.IsControl) ? "A group id has no control characters: choose another." : null;
    }
}
