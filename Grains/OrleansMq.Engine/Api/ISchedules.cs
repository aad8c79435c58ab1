namespace OrleansMq.Api;

/// <summary>
/// Schedules: records that are appended to a topic at a time, or again and again by a cron expression. Readers of the topic do not see a
/// record before. Each is appended once, also when brokers fail meanwhile; after an outage it is appended as soon as the schedules and its
/// topic are served again. Where the topic was configured meanwhile so that it refuses the record, the record waits, and is tried again at
/// least every half a minute; the broker's log and the record's description say so. A record is dropped where its topic was deleted, and a
/// metric counts it. A topic that is created again under the name is another: it gets no record. What waits for a deleted topic is removed
/// within some minutes.
/// <para>What waits is kept in the internal topic <c>__schedules</c>, which is made on first use, with three replicas where there are three
/// brokers. An answered call is flushed to disk by its in-sync replicas.</para>
/// <para>All methods throw a <see cref="BrokerException"/>: <see cref="ErrorCode.NotLeaderOrFollower"/>,
/// <see cref="ErrorCode.LeaderNotAvailable"/>: retry; <see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown, repeat the same
/// call with its id. Thread safe.</para>
/// </summary>
public interface ISchedules
{
    /// <summary>Schedules a record. Completes when that is stored.</summary>
    /// <returns>The schedule, with its id.</returns>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.InvalidRequest"/>: a
    /// value is out of range, or another schedule of the topic has the id, or had it at that time; <see cref="ErrorCode.MessageTooLarge"/>,
    /// <see cref="ErrorCode.InvalidRecord"/>: the topic would refuse the record;
    /// <see cref="ErrorCode.PolicyViolation"/>: too many schedules wait, of the topic or of all: a partition
    /// of <c>__schedules</c> takes 10,000,000, and 2,000,000 of one topic, of which 2,000 repeat;
    /// <see cref="ErrorCode.InvalidReplicationFactor"/>: the topic of schedules is to be made, and not enough brokers are
    /// alive.</exception>
    ValueTask<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default);

    /// <summary>Cancels a schedule. Completes when that is stored: the record is then never appended. One that repeats ends; a firing that
    /// was decided before is still appended, also hours later where its topic was away for so long.</summary>
    /// <returns>False: no schedule of the topic with that id waits. Its record was appended, or is being appended; or it was cancelled, or
    /// never there.</returns>
    ValueTask<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken = default);

    /// <summary>Describes a schedule of a topic; null if none with that id waits.</summary>
    ValueTask<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken = default);

    /// <summary>Lists the schedules that wait, in the order of their times. One that repeats and fires meanwhile waits for a later time: it
    /// may come again on a later page. Where many fire often, pages may follow for ever: end the listing at a time of your
    /// choice.</summary>
    ValueTask<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default);
}

/// <summary>The schedules of a broker that has none: every call is refused with <see cref="ErrorCode.UnsupportedVersion"/>.</summary>
internal sealed class NoSchedules : ISchedules
{
    private NoSchedules() { }

    /// <summary>The only instance.</summary>
    public static NoSchedules Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default) =>
        throw Refusal();

    /// <inheritdoc/>
    public ValueTask<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken = default) => throw Refusal();

    /// <inheritdoc/>
    public ValueTask<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken = default) =>
        throw Refusal();

    /// <inheritdoc/>
    public ValueTask<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default) => throw Refusal();

    private static BrokerException Refusal() =>
        new(ErrorCode.UnsupportedVersion, "This broker has no schedules. Connect to a broker of a later version.");
}
