using System.Globalization;

namespace OrleansMq.Topics;

/// <summary>
/// One key of a topic's configuration: its name, allowed values and meaning, and its conversion to and from a <see cref="TopicConfig"/>.
/// Created in <see cref="TopicConfigKeys"/>.
/// </summary>
internal sealed class TopicConfigKey
{
    private readonly Func<TopicConfig, string> _format;
    private readonly Func<TopicConfig, string, TopicConfig?> _parse;

    private TopicConfigKey(string name, string unit, string allowed, string documentation, bool isImplemented,
        Func<TopicConfig, string> format, Func<TopicConfig, string, TopicConfig?> parse)
    {
        Name = name;
        Unit = unit;
        Allowed = allowed;
        Documentation = documentation;
        IsImplemented = isImplemented;
        _format = format;
        _parse = parse;
    }

    /// <summary>Kafka's name of the key.</summary>
    public string Name { get; }

    /// <summary>The unit of a value, such as <c>ms</c> or <c>bytes</c>; empty for none.</summary>
    public string Unit { get; }

    /// <summary>The allowed range or values, as text.</summary>
    public string Allowed { get; }

    /// <summary>One sentence about the key's effect.</summary>
    public string Documentation { get; }

    /// <summary>Whether the broker implements the key. If not, only Kafka's default is accepted.</summary>
    public bool IsImplemented { get; }

    /// <summary>Formats the key's value in Kafka's text form.</summary>
    public string Format(TopicConfig config) => _format(config);

    /// <summary>Sets the key to a value in Kafka's text form; returns null if the value is not allowed.</summary>
    public TopicConfig? TrySet(TopicConfig config, string value) => _parse(config, value.Trim());

    /// <inheritdoc/>
    public override string ToString() => Name;

    internal static TopicConfigKey Int64(string name, string unit, long min,
        Func<TopicConfig, long> get, Func<TopicConfig, long, TopicConfig> set, string documentation) =>
        new(name, unit, $"a whole number from {Text(min)} to {Text(long.MaxValue)}", documentation, true, config => Text(get(config)),
            (config, text) => TryParse(text, out var value) && value >= min ? set(config, value) : null);

    internal static TopicConfigKey Int32(string name, string unit, int min,
        Func<TopicConfig, int> get, Func<TopicConfig, int, TopicConfig> set, string documentation, int max = int.MaxValue) =>
        new(name, unit, $"a whole number from {Text(min)} to {Text(max)}", documentation, true, config => Text(get(config)),
            (config, text) => TryParse(text, out var value) && value >= min && value <= max ? set(config, (int)value) : null);

    internal static TopicConfigKey Ratio(string name, Func<TopicConfig, double> get, Func<TopicConfig, double, TopicConfig> set,
        string documentation) =>
        new(name, "", "a number from 0 to 1", documentation, true, config => get(config).ToString(CultureInfo.InvariantCulture),
            (config, text) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value)
                && value is >= 0 and <= 1 ? set(config, value) : null);

    internal static TopicConfigKey Boolean(string name, Func<TopicConfig, bool> get, Func<TopicConfig, bool, TopicConfig> set,
        string documentation) =>
        new(name, "", "true or false", documentation, true, config => get(config) ? "true" : "false",
            (config, text) => bool.TryParse(text, out var value) ? set(config, value) : null);

    internal static TopicConfigKey Choice<T>(string name, (string Text, T Value)[] choices,
        Func<TopicConfig, T> get, Func<TopicConfig, T, TopicConfig> set, string documentation) =>
        new(name, "", "one of " + string.Join(", ", choices.Select(choice => choice.Text)), documentation, true,
            config => get(config) is var value
                && choices.FirstOrDefault(choice => EqualityComparer<T>.Default.Equals(choice.Value, value)).Text is { } known
                ? known
                : $"{value}",
            (config, text) =>
            {
                foreach (var choice in choices)
                {
                    if (choice.Text == text)
                        return set(config, choice.Value);
                }
                return null;
            });

    internal static TopicConfigKey CleanupPolicy(string name, string documentation) =>
        new(name, "", "delete, compact, or both with a comma between", documentation, true,
            config => (config.CleanupCompact, config.CleanupDelete) switch { (true, true) => "compact,delete", (true, false) =>
                "compact", _ => "delete" },
            (config, text) =>
            {
                var parts = text.Split(',', StringSplitOptions.TrimEntries);
                return parts.All(part => part is "delete" or "compact") && parts.Distinct(StringComparer.Ordinal).Count() == parts.Length
                    ? config with { CleanupDelete = parts.Contains("delete"), CleanupCompact = parts.Contains("compact") }
                    : null;
            });

    /// <summary>Creates a key of Kafka's that the broker does not implement: only its default can be set, which has no effect.</summary>
    internal static TopicConfigKey NotImplemented(string name, string kafkaDefault, string documentation) =>
        new(name, "", kafkaDefault.Length == 0 ? "nothing but the empty value" : $"nothing but {kafkaDefault}", documentation, false,
            _ => kafkaDefault, (config, text) => text == kafkaDefault ? config : null);

    private static bool TryParse(string text, out long value) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
