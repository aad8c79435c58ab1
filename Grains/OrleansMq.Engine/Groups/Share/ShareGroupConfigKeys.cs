using System.Collections.Immutable;
using System.Globalization;
using System.Xml;

namespace OrleansMq.Groups.Share;

/// <summary>A configuration key of share groups.</summary>
/// <param name="Name">Kafka's name.</param>
/// <param name="Documentation">What it does.</param>
/// <param name="Get">Returns its value as text.</param>
/// <param name="Set">Reads its value from text.</param>
internal sealed record ShareGroupConfigKey(string Name, string Documentation, Func<ShareGroupConfig, string> Get,
    Func<ShareGroupConfig, string, ShareGroupConfig> Set);

/// <summary>The configuration keys of share groups.</summary>
internal static class ShareGroupConfigKeys
{
    private const string DeadLetter = Api.AlterShareGroup.DeadLetterKey;
    private const int MostTopicCharacters = 249;
    private const string DurationPrefix = "by_duration:";

    /// <summary>All keys, by name.</summary>
    public static ImmutableArray<ShareGroupConfigKey> All { get; } =
    [
        new("share.auto.offset.reset", "Where the group begins: latest, earliest or by_duration:<ISO 8601 duration>.",
            static config => config.Start switch
            {
                ShareStart.Earliest => "earliest",
                ShareStart.ByDuration => DurationPrefix + XmlConvert.ToString(config.StartAge),
                _ => "latest",
            }, SetStart),
        new(DeadLetter, "The topic that a record is written to, once, when it is rejected or has reached share.delivery.count.limit; "
            + "empty: it is dropped. Its headers omq.dead-letter.* say where it came from, and why. The topic must exist, and keep records "
            + "as safely as the group's topics. OrleansMq's own: Kafka 4.3 has none.", static config => config.DeadLetterTopic ?? "",
            SetDeadLetterTopic),
        Number("share.delivery.count.limit", "Deliveries after which a record is not delivered again.", 2, 100,
            static config => config.DeliveryLimit, static (config, value) => config with { DeliveryLimit = (int)value }),
        Number("share.heartbeat.interval.ms", "The interval of heartbeats.", 100, 60_000,
            static config => (long)config.HeartbeatInterval.TotalMilliseconds,
            static (config, value) => config with { HeartbeatInterval = TimeSpan.FromMilliseconds(value) }),
        new("share.isolation.level", "read_uncommitted, or read_committed to leave out records of open and aborted transactions.",
            static config => config.IsReadCommitted ? "read_committed" : "read_uncommitted",
            static (config, value) => config with { IsReadCommitted = Choose("share.isolation.level", value, "read_uncommitted",
                "read_committed") }),
        Number("share.partition.max.record.locks", "Records of a partition that members hold at most.", 100, 100_000,
            static config => config.MaxLocks, static (config, value) => config with { MaxLocks = (int)value }),
        Number("share.record.lock.duration.ms", "How long a member holds a record.", 1_000, 3_600_000,
            static config => (long)config.LockDuration.TotalMilliseconds,
            static (config, value) => config with { LockDuration = TimeSpan.FromMilliseconds(value) }),
        new("share.renew.acknowledge.enable", "Whether members may renew locks.", static config => config.MayRenew ? "true" : "false",
            static (config, value) => config with { MayRenew = Choose("share.renew.acknowledge.enable", value, "false", "true") }),
        Number("share.session.timeout.ms", "How long a member may go without a heartbeat.", 1_000, 1_800_000,
            static config => (long)config.SessionTimeout.TotalMilliseconds,
            static (config, value) => config with { SessionTimeout = TimeSpan.FromMilliseconds(value) }),
    ];

    /// <summary>Finds a key; null if it is not known.</summary>
    public static ShareGroupConfigKey? Find(string name) => All.FirstOrDefault(key => key.Name == name);

    private static ShareGroupConfigKey Number(string name, string documentation, long least, long most, Func<ShareGroupConfig, long> get,
        Func<ShareGroupConfig, long, ShareGroupConfig> set) => new(name, documentation,
            config => get(config).ToString(CultureInfo.InvariantCulture),
            (config, value) => long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
                && number >= least && number <= most ? set(config, number)
                : throw ShareGroupConfig.Invalid(name, value, $"{least} to {most}"));

    private static ShareGroupConfig SetDeadLetterTopic(ShareGroupConfig config, string value) =>
        value.Length <= MostTopicCharacters ? config with { DeadLetterTopic = value.Length == 0 ? null : value }
            : throw ShareGroupConfig.Invalid(DeadLetter, value, "the name of a topic, or nothing");

    private static ShareGroupConfig SetStart(ShareGroupConfig config, string value)
    {
        if (value is "latest" or "earliest")
            return config with { Start = value == "latest" ? ShareStart.Latest : ShareStart.Earliest, StartAge = default };
        try
        {
            if (value.StartsWith(DurationPrefix, StringComparison.Ordinal)
                && XmlConvert.ToTimeSpan(value[DurationPrefix.Length..]) is var age && age >= TimeSpan.Zero)
                return config with { Start = ShareStart.ByDuration, StartAge = age };
        }
        catch (Exception fault) when (fault is FormatException or OverflowException)
        {
            // Refused below, as any other text.
        }
        throw ShareGroupConfig.Invalid("share.auto.offset.reset", value, "latest, earliest or by_duration: with an ISO 8601 duration");
    }

    private static bool Choose(string name, string value, string no, string yes) => value == yes
        || (value == no ? false : throw ShareGroupConfig.Invalid(name, value, $"{no} or {yes}"));
}
