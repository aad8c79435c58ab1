using OrleansMq.Api;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Schedules;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>
/// The schedules of a broker: checks a request, and passes it to the partition of <see cref="InternalTopics.Schedules"/> that its id
/// belongs to. The topic is made on first use. Its number of partitions never changes. A request is for the topic that has its name while
/// the request lasts: what this broker remembers of topics may be one that was deleted a moment ago, and perhaps created again.
/// </summary>
/// <param name="broker">Finds and makes topics.</param>
/// <param name="of">The schedules of a partition.</param>
/// <param name="time">The clock.</param>
internal sealed class RoutedSchedules(IBroker broker, Func<TopicPartition, IPartitionSchedules> of, TimeProvider time) : ISchedules
{
    private const int Partitions = 8;
    internal const int MaxHeaders = 1_000;
    private const int MaxPage = 1_000;

    // As durable as the records of any topic may be. Small segments, since only closed ones are compacted, and a new leader reads the whole
    // log. What could be set as a broker's default, and would refuse or reorder records here, is fixed.
    private static readonly Dictionary<string, string> Configs = new()
    {
        ["cleanup.policy"] = "compact",
        ["flush.messages"] = "1",
        ["unclean.leader.election.enable"] = "false",
        ["compression.type"] = "producer",
        ["message.timestamp.type"] = "CreateTime",
        ["segment.bytes"] = "67108864",
        ["delete.retention.ms"] = "3600000",
    };

    private readonly ScheduleLimits _limits = new(broker, time);

    /// <inheritdoc/>
    public async ValueTask<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        var id = schedule.Id ?? Guid.NewGuid().ToString("N");
        Check(schedule, id);
        var topic = await broker.GetCurrentTopicAsync(schedule.Topic, cancellationToken).ConfigureAwait(false);
        CheckRepetition(schedule);
        if (schedule.Partition >= topic.Partitions)
            throw new BrokerException(ErrorCode.UnknownTopicOrPartition,
                $"'{topic.Name}' has {topic.Partitions} partitions, none with the number {schedule.Partition}.");
        await _limits.CheckAsync(topic, schedule, cancellationToken).ConfigureAwait(false);
        var partition = await FindPartitionAsync(topic.TopicId, id, mayCreate: true, cancellationToken).ConfigureAwait(false);
        var created = await partition!.CreateAsync(topic.TopicId, schedule with { Id = id }, cancellationToken).ConfigureAwait(false);
        if (schedule.Cron is null || created.Cron is not null)
            return created;
        // The leader is of an earlier version, and took it for a record that is appended once, in the far future.
        await partition.CancelAsync(topic.TopicId, id, cancellationToken).ConfigureAwait(false);
        throw new BrokerException(ErrorCode.UnsupportedVersion, $"Schedule '{id}' cannot repeat: the broker that keeps it is of an earlier "
            + "version. Upgrade all brokers, and create it again.");
    }

    /// <inheritdoc/>
    public async ValueTask<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken = default) =>
        await LocateAsync(topic, id, cancellationToken).ConfigureAwait(false) is ({ } partition, var topicId)
            && await partition.CancelAsync(topicId, id, cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken = default) =>
        await LocateAsync(topic, id, cancellationToken).ConfigureAwait(false) is ({ } partition, var topicId)
            ? await partition.FindAsync(topicId, id, cancellationToken).ConfigureAwait(false) : null;

    /// <inheritdoc/>
    public async ValueTask<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        if (query.MaxCount is < 1 or > MaxPage)
            throw Invalid($"A page has 1 to {MaxPage} schedules, not {query.MaxCount}.");
        if (query.After is not null)
            SchedulePlaces.Parse(query.After);
        var count = await CountPartitionsAsync(mayCreate: false, cancellationToken).ConfigureAwait(false);
        var lists = await Task.WhenAll(Enumerable.Range(0, count).Select(partition =>
            Of(partition).ListAsync(query.After, query.MaxCount, cancellationToken))).ConfigureAwait(false);
        // Only what is on the page is read.
        var places = lists.SelectMany((list, partition) => list.Select(place => (Partition: partition, Place: place,
            Handle: SchedulePlaces.Parse(place)))).OrderBy(one => one.Handle).ToList();
        var page = places.Take(query.MaxCount).ToList();
        var described = await Task.WhenAll(page.GroupBy(one => one.Partition, one => one.Place).Select(group =>
            Of(group.Key).DescribeAsync([.. group], cancellationToken))).ConfigureAwait(false);
        var hasMore = places.Count > page.Count || lists.Any(list => list.Length == query.MaxCount);
        return new SchedulePage([.. described.SelectMany(schedules => schedules).OrderBy(HandleOf)
            .Where(schedule => query.Topic is null || schedule.Topic == query.Topic)], hasMore ? page[^1].Place : null);
    }

    private static ScheduleHandle HandleOf(ScheduleDescription schedule) =>
        new(schedule.At.ToUnixTimeMilliseconds(), ScheduledPayload.HashOf(schedule.TopicId, schedule.Id));

    private void Check(NewSchedule schedule, string id)
    {
        CheckId(id);
        if (InternalTopics.IsInternal(schedule.Topic))
            throw new BrokerException(ErrorCode.InvalidTopic, $"'{schedule.Topic}' is internal: records cannot be scheduled for it.");
        if (schedule.Partition < -1)
            throw Invalid($"The partition is {schedule.Partition}; allowed are -1 (by the key) and above.");
        if (schedule.At - time.GetUtcNow() > NewSchedule.MaxAhead)
            throw Invalid($"{schedule.At:O} is more than {NewSchedule.MaxAhead.TotalDays:0} days ahead.");
        if (schedule.Headers.Count > MaxHeaders)
            throw Invalid($"A scheduled record has at most {MaxHeaders} headers, not {schedule.Headers.Count}.");
        var bytes = BytesOf(schedule);
        if (bytes > NewSchedule.MaxBytes)
            throw new BrokerException(ErrorCode.MessageTooLarge,
                $"Key, value and headers have {bytes} bytes; a scheduled record has at most {NewSchedule.MaxBytes}.");
    }

    // An expression that never fires takes some milliseconds to be told: only callers that know a topic may ask.
    private void CheckRepetition(NewSchedule schedule)
    {
        if (schedule.Cron is null)
        {
            if (schedule.TimeZone is not null)
                throw Invalid($"Time zone '{schedule.TimeZone}' is given without cron. Give cron, too, or leave the time zone out.");
            return;
        }
        try
        {
            var begins = Math.Max(schedule.At.ToUnixTimeMilliseconds(), time.GetUtcNow().ToUnixTimeMilliseconds());
            if (Repetition.Parse(schedule.Cron, schedule.TimeZone ?? Repetition.DefaultZone).NextAt(begins) is null)
                throw Invalid(PartitionSchedules.NeverFires(schedule.Cron));
        }
        catch (FormatException fault)
        {
            throw new BrokerException(ErrorCode.InvalidRequest, fault.Message, fault);
        }
        var bytes = BytesOf(schedule);
        if (bytes > NewSchedule.MaxRepeatedBytes)
            throw new BrokerException(ErrorCode.MessageTooLarge, $"Key, value and headers have {bytes} bytes; a record that repeats has at "
                + $"most {NewSchedule.MaxRepeatedBytes}: each firing writes them again. Put a reference to the data into the record.");
    }

    private static long BytesOf(NewSchedule schedule) => (schedule.Key?.Length ?? 0L) + (schedule.Value?.Length ?? 0)
        + schedule.Headers.Sum(header => (long)header.Key.Length + (header.Value?.Length ?? 0));

    private static void CheckId(string id)
    {
        ArgumentNullException.ThrowIfNull(id);
        if (id.Length is 0 or > NewSchedule.MaxIdLength)
            throw Invalid($"The id of a schedule has 1 to {NewSchedule.MaxIdLength} characters, not {id.Length}.");
        for (var i = 0; i < id.Length; i++)
        {
            if (char.IsControl(id[i]) || (char.IsSurrogate(id[i]) && !char.IsSurrogatePair(id, char.IsLowSurrogate(id[i]) ? i - 1 : i)))
                throw Invalid("The id of a schedule contains a control character, or half of a surrogate pair.");
        }
    }

    private async ValueTask<(IPartitionSchedules? Partition, Guid TopicId)> LocateAsync(string topic, string id,
        CancellationToken cancellationToken)
    {
        CheckId(id);
        var listing = await broker.GetCurrentTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        return (await FindPartitionAsync(listing.TopicId, id, mayCreate: false, cancellationToken).ConfigureAwait(false), listing.TopicId);
    }

    private async ValueTask<IPartitionSchedules?> FindPartitionAsync(Guid topicId, string id, bool mayCreate,
        CancellationToken cancellationToken)
    {
        var count = await CountPartitionsAsync(mayCreate, cancellationToken).ConfigureAwait(false);
        return count == 0 ? null : Of(ScheduledPayload.PartitionOf(ScheduledPayload.HashOf(topicId, id), count));
    }

    private IPartitionSchedules Of(int partition) => of(new TopicPartition(InternalTopics.Schedules, partition));

    private async ValueTask<int> CountPartitionsAsync(bool mayCreate, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return (await broker.GetTopicAsync(InternalTopics.Schedules, cancellationToken).ConfigureAwait(false)).Partitions;
            }
            catch (BrokerException refusal) when (refusal.Code == ErrorCode.UnknownTopicOrPartition)
            {
                if (!mayCreate)
                    return 0;
            }
            try
            {
                var made = await broker.CreateTopicAsync(
                    new NewTopic(InternalTopics.Schedules, Partitions, InternalTopics.MostScheduleReplicas, Configs)
                    {
                        AllowFewerReplicas = true,
                    },
                    cancellationToken).ConfigureAwait(false);
                return made.Partitions.Count;
            }
            catch (BrokerException refusal) when (refusal.Code == ErrorCode.TopicAlreadyExists)
            {
                // Another caller was first; what is known here may be a moment behind.
                await Task.Delay(TimeSpan.FromMilliseconds(20), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private static BrokerException Invalid(string message) => new(ErrorCode.InvalidRequest, message);
}
