using System.CommandLine;
using System.CommandLine.Parsing;

namespace OrleansMq.Cli.CommandLine;

/// <summary>Finds a word that looks like an option, and that the parser took for a value of the command since the command has no such
/// option.</summary>
internal static class MistypedOption
{
    /// <summary>The first such word; null for none, and for a command without values, where the parser itself refuses it. Words after
    /// <c>--</c> are values, whatever they look like.</summary>
    public static string? In(ParseResult parsed)
    {
        if (parsed.CommandResult.Command.Arguments.Count == 0)
            return null;
        // Those that are too many come last.
        string[] values = [.. parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(static result => result.Tokens)
            .Select(static token => token.Value), .. parsed.UnmatchedTokens];
        // What comes after it is at the end, and belongs to no option.
        var meant = parsed.Tokens.SkipWhile(static token => token.Type != TokenType.DoubleDash).Skip(1).Count();
        return values.SkipLast(meant).FirstOrDefault(LooksLikeOption);
    }

    // A dash alone is the standard input. A number may be negative.
    private static bool LooksLikeOption(string value) => value is ['-', not ('.' or (>= '0' and <= '9')), ..];
}
