using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// A regular expression that an operator gave, for names of exchanges and queues: it matches anywhere in a name, unless it says otherwise.
/// Matching takes time proportional to the name. Only a pattern that needs backtracking, such as <c>^(?!amq\.)</c>, does not; it has a
/// limit, and does not match when that is exceeded.
/// </summary>
[JsonConverter(typeof(SafePatternConverter))]
internal sealed partial class SafePattern : IEquatable<SafePattern>
{
    private const int MaxLength = 1024;
    private const long MaxRepetitions = 10_000;
    private const RegexOptions Options = RegexOptions.CultureInvariant;

    // Wall time: generous, so that a busy machine does not refuse what a pattern allows.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(1);

    private readonly Regex _regex;

    private SafePattern(string text, Regex regex) => (Text, _regex) = (text, regex);

    /// <summary>A pattern that matches every name.</summary>
    public static SafePattern Everything { get; } = Parse(".*");

    /// <summary>The pattern as given.</summary>
    public string Text { get; }

    /// <summary>Parses a pattern.</summary>
    /// <exception cref="FormatException">It is no regular expression, or too large.</exception>
    public static SafePattern Parse(string text)
    {
        if (text.Length > MaxLength)
            throw new FormatException($"the pattern has {text.Length} characters; at most {MaxLength} are allowed.");
        var repetitions = 1L;
        foreach (Match count in Repetition().Matches(text))
        {
            foreach (var group in new[] { count.Groups[1], count.Groups[2] }.Where(group => group.Length > 0))
                repetitions *= Math.Clamp(long.TryParse(group.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                    ? number : MaxRepetitions + 1, 1, MaxRepetitions + 1);
            if (repetitions > MaxRepetitions)
                throw new FormatException($"the repetitions of the pattern '{text}' multiply to more than {MaxRepetitions}. Use smaller "
                    + "ones.");
        }
        try
        {
            return new SafePattern(text, Create(text));
        }
        catch (ArgumentException wrong)
        {
            throw new FormatException($"'{text}' is no regular expression: {wrong.Message}", wrong);
        }
    }

    /// <summary>Whether it matches a name.</summary>
    public bool Matches(string name)
    {
        try
        {
            return _regex.IsMatch(name);
        }
        catch (RegexMatchTimeoutException)
        {
            return false; // Grants nothing.
        }
    }

    /// <inheritdoc/>
    public bool Equals(SafePattern? other) => other is not null && Text == other.Text;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SafePattern);

    /// <inheritdoc/>
    public override int GetHashCode() => Text.GetHashCode(StringComparison.Ordinal);

    /// <summary>Returns the pattern as given.</summary>
    public override string ToString() => Text;

    private static Regex Create(string text)
    {
        try
        {
            return new Regex(text, Options | RegexOptions.NonBacktracking);
        }
        catch (NotSupportedException)
        {
            return new Regex(text, Options, Limit);
        }
    }

    [GeneratedRegex(@"\{(\d+)(?:,(\d*))?\}")]
    private static partial Regex Repetition();
}

/// <summary>Converts a <see cref="SafePattern"/> to its text.</summary>
internal sealed class SafePatternConverter : JsonConverter<SafePattern>
{
    /// <inheritdoc/>
    public override SafePattern Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        try
        {
            return SafePattern.Parse(reader.GetString() ?? "");
        }
        catch (Exception wrong) when (wrong is FormatException or InvalidOperationException)
        {
            throw new JsonException(wrong.Message, wrong);
        }
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, SafePattern value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.Text);
}
