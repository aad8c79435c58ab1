namespace OrleansMq.Topics;

/// <summary>Kafka's rules for the names of topics.</summary>
internal static class TopicName
{
    /// <summary>
    /// The maximum length: 249 characters. With a partition number appended, the name fits a directory name of 255 characters.
    /// </summary>
    public const int MaxLength = 249;

    /// <summary>Returns what is wrong with a name and what is allowed; null for a valid name.</summary>
    public static string? Validate(string? name)
    {
        if (string.IsNullOrEmpty(name))
            return "A topic's name must not be empty. " + Allowed;
        if (name is "." or "..")
            return $"A topic must not be named '{name}'. {Allowed}";
        if (name.Length > MaxLength)
            return $"The topic name '{name[..32]}...' has {name.Length} characters. {Allowed}";
        foreach (var c in name)
        {
            if (!IsAllowed(c))
                return $"The topic name '{name}' contains '{c}'. {Allowed}";
        }
        return null;
    }

    /// <summary>
    /// Whether two names become identical in metrics, where <c>_</c> replaces <c>.</c>, as <c>a.b</c> and <c>a_b</c> do. Like Kafka, the
    /// catalogue refuses the second one.
    /// </summary>
    public static bool Collide(string one, string other)
    {
        if (one.Length != other.Length)
            return false;
        for (var i = 0; i < one.Length; i++)
        {
            if (Unified(one[i]) != Unified(other[i]))
                return false;
        }
        return true;
    }

    private const string Allowed = "Allowed are 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', but not '.' and '..'.";

    private static bool IsAllowed(char c) => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-';

    /// <summary>The character as names of metrics have it.</summary>
    internal static char Unified(char c) => c == '.' ? '_' : c;
}
