using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// A regular expression that an operator gave, for names of exchanges and queues: it matches anywhere in a name, unless it says otherwise.
/// Matching takes time proportional to the name, also with lookaheads at the beginning, such as <c>^(?!amq\.)</c>. Other patterns that need
/// backtracking have a time limit, and do not match a name that exceeds it (<see cref="BacktrackingPattern"/>).
/// <para>
/// In .NET, as in RabbitMQ, <c>.</c> matches no line feed, and <c>$</c> matches also before one at the end. Names of routing keys may have
/// them: <c>^a$</c> would match <c>a\n</c>, and <c>^(?!.*secret)</c> would match <c>a\n.secret</c>. So a name with line feeds has to match
/// twice: as it is, where <c>$</c> is its end alone, and with carriage returns in their place, which are characters as others are.
/// </para>
/// </summary>
[JsonConverter(typeof(SafePatternConverter))]
internal sealed partial class SafePattern : IEquatable<SafePattern>
{
    private const int MaxLength = 1024;
    private const long MaxRepetitions = 10_000;
    private const RegexOptions Options = RegexOptions.CultureInvariant;

    private readonly LookaheadPattern? _linear;
    private readonly BacktrackingPattern? _backtracking;
    private volatile bool _hasOverrun;

    private SafePattern(string text, LookaheadPattern? linear, BacktrackingPattern? backtracking) =>
        (Text, _linear, _backtracking) = (text, linear, backtracking);

    /// <summary>A pattern that matches every name.</summary>
    public static SafePattern Everything { get; } = Parse(".*");

    /// <summary>The pattern as given.</summary>
    public string Text { get; }

    /// <summary>Whether its matches may take longer than in proportion to the name.</summary>
    public bool Backtracks => _backtracking is not null;

    /// <summary>Whether a match has exceeded its time limit.</summary>
    public bool HasOverrun => _hasOverrun;

    /// <summary>Returns a pattern that is matched as given.</summary>
    internal static SafePattern Of(string text, BacktrackingPattern backtracking) => new(text, null, backtracking);

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
            return Create(text);
        }
        catch (ArgumentException wrong)
        {
            throw new FormatException($"'{text}' is no regular expression: {wrong.Message}", wrong);
        }
    }

    /// <summary>Whether it matches a name. It does not match one that takes too long.</summary>
    public bool Matches(string name) => TryMatch(name) == true;

    /// <summary>Returns whether it matches a name; null: that takes too long.</summary>
    public bool? TryMatch(string name)
    {
        if (!name.Contains('\n', StringComparison.Ordinal))
            return TryMatchText(name);
        // Before the last of two line feeds is the end of the name.
        var matches = TryMatchText(name.EndsWith('\n') ? $"{name}\n" : name);
        return matches == true ? TryMatchText(name.Replace('\n', '\r')) : matches;
    }

    /// <inheritdoc/>
    public bool Equals(SafePattern? other) => other is not null && Text == other.Text;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SafePattern);

    /// <inheritdoc/>
    public override int GetHashCode() => Text.GetHashCode(StringComparison.Ordinal);

    /// <summary>Returns the pattern as given.</summary>
    public override string ToString() => Text;

    private bool? TryMatchText(string text)
    {
        if (_linear is { } linear)
            return linear.Matches(text);
        var matches = _backtracking!.TryMatch(text);
        if (matches is null)
            _hasOverrun = true;
        return matches;
    }

    private static SafePattern Create(string text) => LookaheadPattern.TryParse(text, Options) is { } linear
        ? new SafePattern(text, linear, null) : new SafePattern(text, null, BacktrackingPattern.Create(text, Options));

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
