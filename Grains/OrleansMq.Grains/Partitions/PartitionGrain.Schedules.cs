using OrleansMq.Api;

namespace OrleansMq.Grains.Partitions;

// The schedules of the partition, for brokers, which have authorized the requests.
internal sealed partial class PartitionGrain
{
    /// <inheritdoc/>
    Task<ScheduleDescription> IScheduleForwardGrain.CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken) =>
        Existing().Schedules.CreateAsync(topicId, schedule, cancellationToken);

    /// <inheritdoc/>
    Task<bool> IScheduleForwardGrain.CancelAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
        Existing().Schedules.CancelAsync(topicId, id, cancellationToken);

    /// <inheritdoc/>
    Task<ScheduleDescription?> IScheduleForwardGrain.FindAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
        Existing().Schedules.FindAsync(topicId, id, cancellationToken);

    /// <inheritdoc/>
    Task<string[]> IScheduleForwardGrain.ListAsync(string? after, int maxCount, CancellationToken cancellationToken) =>
        Existing().Schedules.ListAsync(after, maxCount, cancellationToken);

    /// <inheritdoc/>
    Task<ScheduleDescription[]> IScheduleForwardGrain.DescribeAsync(string[] places, CancellationToken cancellationToken) =>
        Existing().Schedules.DescribeAsync(places, cancellationToken);
}
