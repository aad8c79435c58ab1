using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace OrleansMq.Tls;

/// <summary>Rules that map the subject of a certificate to a client's name, as Kafka's <c>ssl.principal.mapping.rules</c>.
/// Immutable.</summary>
internal sealed class PrincipalMapping
{
    /// <summary>The name is the subject.</summary>
    public const string DefaultRules = "DEFAULT";

    private const string RuleStart = "RULE:";

    // A subject has some hundred characters: a pattern that needs longer backtracks.
    private static readonly TimeSpan MatchTime = TimeSpan.FromSeconds(1);

    private readonly Rule[] _rules;

    private PrincipalMapping(Rule[] rules) => _rules = rules;

    /// <summary>Parses rules.</summary>
    /// <param name="text">Such as <c>RULE:^CN=(.*?),.*$/$1/L,DEFAULT</c>. A slash within a pattern or replacement is <c>\/</c>.</param>
    /// <exception cref="TlsConfigurationException">A rule is not valid.</exception>
    public static PrincipalMapping Parse(string text)
    {
        var rules = new List<Rule>();
        for (var rest = text.AsSpan().Trim(); !rest.IsEmpty;)
        {
            rules.Add(ParseRule(ref rest, text));
            rest = rest.TrimStart(" \t\r");
            if (rest.IsEmpty)
                break;
            if (rest[0] is not (',' or '\n'))
                throw Invalid(text, $"a comma is expected before '{rest}'");
            rest = rest[1..].TrimStart();
            if (rest.IsEmpty)
                throw Invalid(text, "a rule is expected after the last comma");
        }
        return new PrincipalMapping(rules.Count > 0 ? [.. rules] : [Rule.Default]);
    }

    /// <summary>Maps a subject.</summary>
    /// <returns>The name; null where no rule matches.</returns>
    public string? Map(string subject)
    {
        foreach (var rule in _rules)
        {
            if (rule.Apply(subject) is { } name)
                return name;
        }
        return null;
    }

    private static Rule ParseRule(ref ReadOnlySpan<char> rest, string text)
    {
        if (rest.StartsWith(DefaultRules, StringComparison.Ordinal))
        {
            rest = rest[DefaultRules.Length..];
            return Rule.Default;
        }
        if (!rest.StartsWith(RuleStart, StringComparison.Ordinal))
            throw Invalid(text, $"RULE:pattern/replacement/[LU] or DEFAULT is expected at '{rest}'");
        rest = rest[RuleStart.Length..];
        var pattern = TakePart(ref rest, text);
        var replacement = TakePart(ref rest, text);
        var change = rest.IsEmpty || rest[0] is not ('L' or 'U') ? '\0' : rest[0];
        if (change != '\0')
            rest = rest[1..];
        try
        {
            var regex = new Regex($@"\A(?:{pattern})\z", RegexOptions.CultureInvariant, MatchTime);
            return new Rule(regex, Tokens(replacement, regex, text), change);
        }
        catch (ArgumentException fault)
        {
            throw Invalid(text, $"the pattern '{pattern}' is not valid: {fault.Message}");
        }
    }

    // Up to the next slash that has no backslash before it.
    private static string TakePart(ref ReadOnlySpan<char> rest, string text)
    {
        for (var index = 0; index < rest.Length; index++)
        {
            if (rest[index] == '\\')
            {
                index++;
            }
            else if (rest[index] == '/')
            {
                var part = rest[..index].ToString();
                rest = rest[(index + 1)..];
                return part;
            }
        }
        throw Invalid(text, $"a slash is missing in '{rest}'");
    }

    // A replacement in Java's form: $1 and ${name} are groups, and a backslash takes the next character as it is. A number without a group
    // stays as it is.
    private static List<Token> Tokens(string replacement, Regex regex, string text)
    {
        var tokens = new List<Token>();
        var plain = new StringBuilder();
        for (var index = 0; index < replacement.Length; index++)
        {
            var end = replacement[index] == '$' ? GroupEnd(replacement, index, regex) : 0;
            if (end > 0)
            {
                tokens.Add(new Token(plain.ToString(), null));
                plain.Clear();
                var group = replacement[(index + 1)..end].Trim('{', '}');
                if (regex.GroupNumberFromName(group) < 0)
                    throw Invalid(text, $"the pattern has no group '{group}'");
                tokens.Add(new Token("", group));
                index = end - 1;
                continue;
            }
            if (replacement[index] == '\\' && index + 1 < replacement.Length)
                index++;
            plain.Append(replacement[index]);
        }
        tokens.Add(new Token(plain.ToString(), null));
        return tokens;
    }

    // The end of the group's name or number that follows a dollar; 0 where none does.
    private static int GroupEnd(string replacement, int dollar, Regex regex)
    {
        if (dollar + 1 < replacement.Length && replacement[dollar + 1] == '{')
            return replacement.IndexOf('}', dollar) + 1;
        var end = dollar + 1;
        while (end < replacement.Length && char.IsAsciiDigit(replacement[end])
            && regex.GroupNumberFromName(replacement[(dollar + 1)..(end + 1)]) >= 0)
            end++;
        return end > dollar + 1 ? end : 0;
    }

    private static TlsConfigurationException Invalid(string text, string reason) =>
        new($"The principal mapping rules '{text}' are not valid: {reason}.");

    private readonly record struct Token(string Text, string? Group);

    private sealed class Rule(Regex? pattern, List<Token> replacement, char change)
    {
        public static Rule Default { get; } = new(null, [], '\0');

        public string? Apply(string subject)
        {
            if (pattern is null)
                return subject;
            if (!TryMatch(subject, out var match))
                return null;
            var name = string.Concat(replacement.Select(token => token.Group is { } group ? match.Groups[group].Value : token.Text));
            return change switch
            {
                'L' => name.ToLower(CultureInfo.InvariantCulture),
                'U' => name.ToUpper(CultureInfo.InvariantCulture),
                _ => name,
            };
        }

        private bool TryMatch(string subject, out Match match)
        {
            try
            {
                match = pattern!.Match(subject);
                return match.Success;
            }
            catch (RegexMatchTimeoutException)
            {
                match = Match.Empty;
                return false;
            }
        }
    }
}
