using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// The schedules of one partition, where it is led: between brokers. The calling broker has authorized the requests, and checked them.
/// The key is <see cref="GrainKeys.Partition"/>. Clients use <see cref="IScheduleGrain"/>.
/// </summary>
[Alias("omq.IScheduleForwardGrain")]
internal interface IScheduleForwardGrain : IGrainWithStringKey
{
    /// <summary>Schedules a record that has an id, for the topic of this id.</summary>
    [Alias("Create")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ScheduleDescription> CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken = default);

    /// <summary>Cancels a schedule; false if it does not wait.</summary>
    [Alias("Cancel")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<bool> CancelAsync(Guid topicId, string id, CancellationToken cancellationToken = default);

    /// <summary>Describes a schedule; null if it does not wait.</summary>
    [Alias("Find")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ScheduleDescription?> FindAsync(Guid topicId, string id, CancellationToken cancellationToken = default);

    /// <summary>Lists the places of the partition's schedules behind a place.</summary>
    [Alias("List")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<string[]> ListAsync(string? after, int maxCount, CancellationToken cancellationToken = default);

    /// <summary>Describes the schedules at these places, as far as they wait.</summary>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ScheduleDescription[]> DescribeAsync(string[] places, CancellationToken cancellationToken = default);
}
