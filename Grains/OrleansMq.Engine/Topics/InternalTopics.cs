namespace OrleansMq.Topics;

/// <summary>Topics that brokers write and read themselves, or silos for their grains. Clients may describe them: their records are those of
/// many topics, which not everyone may read.</summary>
internal static class InternalTopics
{
    /// <summary>What waits to be appended at a time; see <see cref="Api.ISchedules"/>.</summary>
    public const string Schedules = "__schedules";

    /// <summary>The wake-ups of grains with outboxes. Silos write and read them.</summary>
    public const string Outbox = "__outbox";

    /// <summary>The most replicas of the partitions of <see cref="Schedules"/>.</summary>
    public const int MostScheduleReplicas = 3;

    /// <summary>Whether a topic is internal.</summary>
    public static bool IsInternal(string? topic) => topic is Schedules or Outbox;

    /// <summary>Whether a client may perform an operation on an internal topic.</summary>
    public static bool Allows(AccessOperation operation) =>
        operation is AccessOperation.Describe or AccessOperation.DescribeConfigs;
}
