using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;

namespace OrleansMq.Groups.Consumer;

/// <summary>A regular expression that whole names of topics are matched with. Only what can be matched in time linear to the name (.NET's
/// NonBacktracking): a pattern comes from other people, and one that backtracks could hold a coordinator up for ever.</summary>
public sealed class TopicPattern
{
    // As long as a topic's name may be, four times over; what is longer is a list of names, which has a field of its own.
    private const int MaxLength = 1000;

    private readonly Regex _regex;

    private TopicPattern(Regex regex) => _regex = regex;

    /// <summary>Whether a topic's name matches from its first to its last character.</summary>
    public bool IsMatch(string topic) => _regex.IsMatch(topic);

    /// <summary>Reads a pattern.</summary>
    /// <param name="text">The pattern.</param>
    /// <param name="pattern">What it is.</param>
    /// <param name="error">What is wrong with it.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out TopicPattern? pattern, [NotNullWhen(false)] out string? error)
    {
        (pattern, error) = (null, null);
        if (text.Length > MaxLength)
        {
            error =
                $"SubscribedTopicRegex has {text.Length} characters, {MaxLength} are the most: subscribe by name, or to a common prefix.";
            return false;
        }
        try
        {
            _ = new Regex(text, Options); // By itself first: within brackets of ours "a)(b" would pass.
            pattern = new TopicPattern(new Regex($@"\A(?:{text})\z", Options));
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
}
