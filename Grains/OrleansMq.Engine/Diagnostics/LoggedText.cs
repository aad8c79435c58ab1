namespace OrleansMq.Diagnostics;

/// <summary>Text that a client chose, for a line in the log.</summary>
internal static class LoggedText
{
    private const int MaxLength = 255;

    /// <summary>Returns the text without control characters, 255 characters at most: a line break in a client's name must not look like a
    /// line of the broker.</summary>
    public static string Of(string text) => text.Length <= MaxLength && !text.Any(char.IsControl) ? text
        : string.Concat(text.Take(MaxLength).Select(static c => char.IsControl(c) ? '?' : c));
}
