using System.CommandLine;
using System.Text;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Records;

/// <summary><c>--key-separator C</c>: separates key and value on a line.</summary>
internal static class KeySeparator
{
    /// <summary>Creates the option.</summary>
    public static Option<string> Option(string description) =>
        new("--key-separator") { Description = description + " One character or several; \\t is a tab.", HelpName = "C" };

    /// <summary>Returns the separator's bytes; null if none was given.</summary>
    /// <exception cref="CommandFailedException">It is empty, or contains a line break.</exception>
    public static byte[]? Bytes(string? separator)
    {
        if (separator is null)
            return null;
        var text = separator.Replace("\\t", "\t", StringComparison.Ordinal);
        if (text.Length == 0 || text.Contains('\n', StringComparison.Ordinal))
            throw CommandFailedException.Usage("--key-separator has one character or several, and no line break; \\t is a tab.");
        return Encoding.UTF8.GetBytes(text);
    }
}
