using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;

namespace OrleansMq.Groups.Consumer;

/// <summary>A regular expression that must match the whole name of a topic. Limited to patterns that match in time linear in the name's
/// length (.NET's NonBacktracking). A pattern comes from an arbitrary client, and backtracking could block a coordinator forever.</summary>
internal sealed class TopicPattern
{
    // Four times the maximum length of a topic name. A longer pattern is a list of names, for which there is a separate field.
    private const int MaxLength = 1000;
    private const int MostKept = 32;

    // Building a pattern takes a thousand times as long as matching a name. A member repeats it with each join, and its group needs it for
    // each new target and each image of the topics.
    private static readonly ConcurrentDictionary<string, TopicPattern> Kept = new(StringComparer.Ordinal);

    private readonly Regex _regex;

    private TopicPattern(Regex regex) => _regex = regex;

    /// <summary>Whether the pattern matches a whole topic name.</summary>
    public bool IsMatch(string topic) => _regex.IsMatch(topic);

    /// <summary>Parses a pattern.</summary>
    /// <param name="text">The text of the pattern.</param>
    /// <param name="pattern">The pattern.</param>
    /// <param name="error">What is wrong with it.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out TopicPattern? pattern, [NotNullWhen(false)] out string? error)
    {
        error = null;
        if (Kept.TryGetValue(text, out pattern))
            return true;
        if (text.Length > MaxLength)
        {
            error =
                $"SubscribedTopicRegex has {text.Length} characters, {MaxLength} are the most: subscribe by name, or to a common prefix.";
            return false;
        }
        try
        {
            _ = new Regex(text, Options); // First without the enclosing brackets, within which "a)(b" would pass.
            pattern = new TopicPattern(new Regex($@"\A(?:{text})\z", Options));
            Keep(text, pattern);
            return true;
        }
        catch (ArgumentException exception)
        {
            error = $"SubscribedTopicRegex cannot be read: {exception.Message}";
        }
        catch (NotSupportedException exception)
        {
            error = $"SubscribedTopicRegex uses what this broker does not match, as look-around, back-references or too much repetition: "
                + $"{exception.Message}";
        }
        return false;
    }

    private const RegexOptions Options = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant;

    // Bounded, since patterns come from arbitrary clients.
    private static void Keep(string text, TopicPattern pattern)
    {
        if (Kept.Count >= MostKept)
            Kept.Clear();
        Kept[text] = pattern;
    }
}
