using System.CommandLine;
using System.Text;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Records;

/// <summary><c>--key-separator C</c>: what stands between key and value on a line.</summary>
internal static class KeySeparator
{
    /// <summary>A new option.</summary>
    public static Option<string> Option(string description) =>
        new("--key-separator") { Description = description + " One character or several; \\t is a tab.", HelpName = "C" };

    /// <summary>The separator's bytes; null where none was given.</summary>
    /// <exception cref="CommandFailedException">It is empty, or holds a line break.</exception>
    public static byte[]? Bytes(string? separator)
    {
        if (separator is null)
            return null;
        var text = separator.Replace("\\t", "\t", StringComparison.Ordinal);
        if (text.Length == 0 || text.Contains('\n', StringComparison.Ordinal))
            throw CommandFailedException.Usage("--key-separator is one character or several, and no line break; \\t is a tab.");
        return Encoding.UTF8.GetBytes(text);
    }
}
