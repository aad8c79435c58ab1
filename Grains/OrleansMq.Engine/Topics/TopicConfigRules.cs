using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Topics;

/// <summary>Converts Kafka's keys and values to a <see cref="TopicConfig"/> and back, with the table
/// <see cref="TopicConfigKeys"/>.</summary>
internal static class TopicConfigRules
{
    /// <summary>Parses the configuration of a topic that sets these keys and uses the broker's defaults for the others.</summary>
    /// <returns>The configuration, or <see cref="ErrorCode.InvalidConfig"/> with every invalid key, its value, and the allowed
    /// values.</returns>
    public static TopicDecision<TopicConfig> Parse(IReadOnlyDictionary<string, string> configs, TopicConfig defaults)
    {
        var config = defaults;
        List<string>? faults = null;
        foreach (var (name, value) in configs)
        {
            if (TopicConfigKeys.Find(name) is not { } key)
                (faults ??= []).Add(UnknownKey(name));
            else if (value is null || key.TrySet(config, value) is not { } changed)
                (faults ??= []).Add(BadValue(key, value));
            else
                config = changed;
        }
        if (faults is null && Contradiction(config) is { } contradiction)
            faults = [contradiction];
        return faults is null
            ? TopicDecision<TopicConfig>.Accept(config)
            : TopicDecision<TopicConfig>.Refuse(ErrorCode.InvalidConfig, string.Join(' ', faults));
    }

    /// <summary>Describes the first value that is not allowed of a configuration made in code; null if there is none.</summary>
    public static string? FaultOf(TopicConfig config)
    {
        foreach (var key in TopicConfigKeys.All)
        {
            if (key.Format(config) is var value && key.TrySet(config, value) is null)
                return BadValue(key, value);
        }
        return Contradiction(config);
    }

    /// <summary>Describes the codec that a topic's batches are stored in and the broker lacks; null if it has it.</summary>
    public static string? MissingCodec(TopicConfig config, CompressionCodecs? codecs) =>
        config.CompressionType is { } type && codecs?.WhyMissing(type) is { } missing
            ? $"Topic configuration 'compression.type' asks for {type}, but this broker has no codec for it: every produce would fail. "
                + (codecs.Has(type) ? missing : "Set BrokerOptions.Codecs = StandardCodecs.All, or leave 'compression.type' out.")
            : null;

    /// <summary>Returns every key with its effective value, ordered by name (ordinal).</summary>
    public static IReadOnlyList<ConfigEntry> Describe(IReadOnlyDictionary<string, string> configs, TopicConfig effective) =>
        [.. TopicConfigKeys.All.Select(key => new ConfigEntry(key.Name, key.Format(effective), IsDefault: !configs.ContainsKey(key.Name)))
            .OrderBy(entry => entry.Name, StringComparer.Ordinal)];

    private static string UnknownKey(string name)
    {
        var suggestion = TopicConfigKeys.Nearest(name) is { } nearest ? $" Did you mean '{nearest}'?" : "";
        var known = string.Join(", ", TopicConfigKeys.All.Where(key => key.IsImplemented).Select(key => key.Name)
            .Order(StringComparer.Ordinal));
        return $"There is no topic configuration '{name}'.{suggestion} Allowed are: {known}.";
    }

    private static string BadValue(TopicConfigKey key, string? value) => key.IsImplemented
        ? $"Topic configuration '{key.Name}' cannot be '{value}': allowed is {key.Allowed}{(key.Unit.Length == 0 ? "" : $" ({key.Unit})")}."
        : $"Topic configuration '{key.Name}' is Kafka's, but not implemented here: it accepts {key.Allowed}. Leave '{key.Name}' out.";

    private static string? Contradiction(TopicConfig config) => config.MinCompactionLagMs > config.MaxCompactionLagMs
        ? $"Topic configuration 'min.compaction.lag.ms' ({config.MinCompactionLagMs}) must not exceed 'max.compaction.lag.ms' "
            + $"({config.MaxCompactionLagMs})."
        : config is { RetentionUntilSettled: true, CleanupCompact: true }
        ? "Topic configuration 'retention.until.settled' needs 'cleanup.policy' 'delete': compaction removes records that are not settled."
        : null;
}
