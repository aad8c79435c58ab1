using System.Collections.Immutable;
using System.Globalization;

namespace OrleansMq.Groups.Share;

/// <summary>Where a share group begins in a partition that it did not read before.</summary>
internal enum ShareStart
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>At the end of the log.</summary>
    Latest = 1,
    /// <summary>At the first record.</summary>
    Earliest = 2,
    /// <summary>At the first record that is not older than a duration.</summary>
    ByDuration = 3,
}

/// <summary>The configuration of a share group.</summary>
internal sealed record ShareGroupConfig
{
    // Longer than any name of a topic: it bounds what a document holds.
    private const int MostCharacters = 300;

    /// <summary>The defaults.</summary>
    public static ShareGroupConfig Default { get; } = new();

    /// <summary>How long a member may go without a heartbeat: 45 s, <c>share.session.timeout.ms</c>.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(45);
    /// <summary>The interval of heartbeats: 5 s, <c>share.heartbeat.interval.ms</c>.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>How long a member holds a record: 30 s, <c>share.record.lock.duration.ms</c>.</summary>
    public TimeSpan LockDuration { get; init; } = TimeSpan.FromSeconds(30);
    /// <summary>The deliveries after which a record is not delivered again: 5, <c>share.delivery.count.limit</c>.</summary>
    public int DeliveryLimit { get; init; } = 5;
    /// <summary>The most records of a partition that members hold: 2,000, <c>share.partition.max.record.locks</c>.</summary>
    public int MaxLocks { get; init; } = 2000;
    /// <summary>Where the group begins: at the end, <c>share.auto.offset.reset</c>.</summary>
    public ShareStart Start { get; init; } = ShareStart.Latest;
    /// <summary>With <see cref="ShareStart.ByDuration"/>, the age of the first record.</summary>
    public TimeSpan StartAge { get; init; }
    /// <summary>Whether records of open and aborted transactions are left out: no, <c>share.isolation.level</c>.</summary>
    public bool IsReadCommitted { get; init; }
    /// <summary>Whether members may renew locks: yes, <c>share.renew.acknowledge.enable</c>.</summary>
    public bool MayRenew { get; init; } = true;

    /// <summary>The topic that records go to which are rejected, or not delivered again: null for none, <c>share.dead.letter.topic</c>.
    /// Kafka 4.3 has no such setting.</summary>
    public string? DeadLetterTopic { get; init; }

    /// <summary>Reads the configuration that <see cref="OrleansMq.Api.FindShareCursors"/> found.</summary>
    public static ShareGroupConfig Of(IReadOnlyList<Api.ShareGroupSetting> settings) => Parse(settings
        .Where(static setting => setting.Value is not null).Select(static setting => KeyValuePair.Create(setting.Name, setting.Value!)));

    /// <summary>Reads a configuration.</summary>
    /// <param name="configs">Values by name. Unknown names are ignored: a newer program may have set them.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidConfig"/>: a value is out of range.</exception>
    public static ShareGroupConfig Parse(IEnumerable<KeyValuePair<string, string>> configs)
    {
        var config = Default;
        foreach (var (name, value) in configs)
        {
            if (ShareGroupConfigKeys.Find(name) is { } key)
                config = key.Set(config, value);
        }
        return config.HeartbeatInterval < config.SessionTimeout ? config
            : throw Invalid("share.heartbeat.interval.ms", Text(config.HeartbeatInterval), "less than share.session.timeout.ms");
    }

    /// <summary>Changes a configuration.</summary>
    /// <param name="before">The values that are set.</param>
    /// <param name="changes">The values to set, or to remove.</param>
    /// <returns>The values that are set then.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidConfig"/>: a name is not known, or a value out of range.</exception>
    public static ImmutableSortedDictionary<string, string> Change(IEnumerable<KeyValuePair<string, string>> before,
        IEnumerable<Api.ShareGroupSetting> changes)
    {
        ArgumentNullException.ThrowIfNull(changes);
        var after = before.ToImmutableSortedDictionary(StringComparer.Ordinal);
        foreach (var (name, value) in changes)
        {
            if (ShareGroupConfigKeys.Find(name) is null)
                throw new BrokerException(ErrorCode.InvalidConfig, $"A share group has no configuration '{name}'; it has "
                    + $"{string.Join(", ", ShareGroupConfigKeys.All.Select(static key => key.Name))}.");
            if (value?.Length > MostCharacters)
                throw Invalid(name, $"{value[..20]}...", $"at most {MostCharacters} characters");
            after = value is null ? after.Remove(name) : after.SetItem(name, value);
        }
        Parse(after);
        return after;
    }

    internal static string Text(TimeSpan time) => ((long)time.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);

    internal static BrokerException Invalid(string name, string value, string allowed) =>
        new(ErrorCode.InvalidConfig, $"{name} is '{value}'; allowed is {allowed}.");
}
