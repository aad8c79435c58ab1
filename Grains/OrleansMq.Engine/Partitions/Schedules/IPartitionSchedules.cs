using OrleansMq.Api;

namespace OrleansMq.Partitions.Schedules;

/// <summary>The schedules of one partition, wherever it is led. The methods throw as those of <see cref="ISchedules"/>.</summary>
internal interface IPartitionSchedules
{
    /// <summary>Schedules a record. It has an id, its values are in range, and its topic exists and has this id.</summary>
    Task<ScheduleDescription> CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken);

    /// <summary>Cancels a schedule; false if none of that id waits.</summary>
    Task<bool> CancelAsync(Guid topicId, string id, CancellationToken cancellationToken);

    /// <summary>Describes a schedule; null if none of that id waits.</summary>
    Task<ScheduleDescription?> FindAsync(Guid topicId, string id, CancellationToken cancellationToken);

    /// <summary>Lists the places of schedules, in the order of their times.</summary>
    /// <param name="after">The place behind which to begin; null: at the first.</param>
    /// <param name="maxCount">The most places. Fewer: there are no more.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    Task<string[]> ListAsync(string? after, int maxCount, CancellationToken cancellationToken);

    /// <summary>Describes the schedules at these places, as far as they wait, in the order of their times.</summary>
    Task<ScheduleDescription[]> DescribeAsync(string[] places, CancellationToken cancellationToken);
}
