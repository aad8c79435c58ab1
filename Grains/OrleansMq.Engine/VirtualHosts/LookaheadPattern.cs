using System.Text.RegularExpressions;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// A regular expression that is matched without backtracking. It may begin with <c>^</c> and lookaheads: <c>^(?!A)(?=B)C</c> matches where
/// <c>^A</c> does not, and <c>^B</c> and <c>^C</c> do.
/// </summary>
internal sealed partial class LookaheadPattern
{
    private readonly Regex _rest;
    private readonly (Regex Ahead, bool IsWanted)[] _aheads;

    private LookaheadPattern(Regex rest, (Regex Ahead, bool IsWanted)[] aheads) => (_rest, _aheads) = (rest, aheads);

    /// <summary>Parses a pattern.</summary>
    /// <returns>Null: it can only be matched with backtracking.</returns>
    /// <exception cref="ArgumentException">It is no regular expression.</exception>
    public static LookaheadPattern? TryParse(string text, RegexOptions options)
    {
        if (TryCreate(text, options) is { } whole)
            return new LookaheadPattern(whole, []);
        // Comments may hold what looks like the end of a group.
        if (!text.StartsWith('^') || Comments().IsMatch(text))
            return null;
        var aheads = new List<(Regex, bool)>();
        var place = 1;
        while (string.CompareOrdinal(text, place, "(?!", 0, 3) == 0 || string.CompareOrdinal(text, place, "(?=", 0, 3) == 0)
        {
            var end = EndOf(text, place + 3, out _);
            if (end < 0 || TryCreatePart(text[(place + 3)..end], options) is not { } ahead)
                return null;
            aheads.Add((ahead, text[place + 2] == '='));
            place = end + 1;
        }
        // A quantifier would be of the lookahead, and an alternative has none.
        if (aheads.Count == 0 || (place < text.Length && text[place] is '*' or '+' or '?' or '{'))
            return null;
        EndOf(text, place, out var hasAlternatives);
        return !hasAlternatives && TryCreatePart(text[place..], options) is { } rest
            ? new LookaheadPattern(rest, [.. aheads]) : null;
    }

    /// <summary>Whether it matches a name.</summary>
    public bool Matches(string name)
    {
        foreach (var (ahead, isWanted) in _aheads)
        {
            if (ahead.IsMatch(name) != isWanted)
                return false;
        }
        return _rest.IsMatch(name);
    }

    private static Regex? TryCreate(string text, RegexOptions options)
    {
        try
        {
            return new Regex(text, options | RegexOptions.NonBacktracking);
        }
        catch (NotSupportedException)
        {
            return null;
        }
    }

    // A part may refer to a group of another: the whole needs backtracking then.
    private static Regex? TryCreatePart(string part, RegexOptions options)
    {
        try
        {
            return TryCreate($"^(?:{part})", options);
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    // Returns where the group ends that begins before a place; -1 where it does not.
    private static int EndOf(string text, int place, out bool hasAlternatives)
    {
        hasAlternatives = false;
        // A ']' that is the first of a class is one of its characters.
        var (groups, classes, first) = (0, 0, -1);
        for (; place < text.Length; place++)
        {
            var c = text[place];
            if (c == '\\')
                place++;
            else if (classes > 0)
            {
                if (c == ']' && place != first)
                    classes--;
                else if (c == '[' && text[place - 1] == '-')
                    (classes, first) = (classes + 1, FirstOf(text, place));
            }
            else if (c == '[')
                (classes, first) = (1, FirstOf(text, place));
            else if (c == '(')
                groups++;
            else if (c == '|')
                hasAlternatives |= groups == 0;
            else if (c == ')' && groups-- == 0)
                return place;
        }
        return -1;
    }

    private static int FirstOf(string text, int opening) =>
        opening + 1 < text.Length && text[opening + 1] == '^' ? opening + 2 : opening + 1;

    [GeneratedRegex(@"\(\?(?:#|[a-wyz-]*x)")]
    private static partial Regex Comments();
}
