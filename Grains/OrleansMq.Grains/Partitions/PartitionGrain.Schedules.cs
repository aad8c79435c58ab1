using OrleansMq.Api;
using OrleansMq.Partitions.Schedules;

namespace OrleansMq.Grains.Partitions;

// The schedules of the partition, for brokers, which have authorized the requests.
internal sealed partial class PartitionGrain
{
    private PartitionSchedules SchedulesOfBrokers
    {
        get
        {
            door.DemandBroker<IScheduleForwardGrain>();
            return Existing().Schedules;
        }
    }

    /// <inheritdoc/>
    Task<ScheduleDescription> IScheduleForwardGrain.CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken) =>
        SchedulesOfBrokers.CreateAsync(topicId, schedule, cancellationToken);

    /// <inheritdoc/>
    Task<bool> IScheduleForwardGrain.CancelAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
        SchedulesOfBrokers.CancelAsync(topicId, id, cancellationToken);

    /// <inheritdoc/>
    Task<ScheduleDescription?> IScheduleForwardGrain.FindAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
        SchedulesOfBrokers.FindAsync(topicId, id, cancellationToken);

    /// <inheritdoc/>
    Task<string[]> IScheduleForwardGrain.ListAsync(string? after, int maxCount, CancellationToken cancellationToken) =>
        SchedulesOfBrokers.ListAsync(after, maxCount, cancellationToken);

    /// <inheritdoc/>
    Task<ScheduleDescription[]> IScheduleForwardGrain.DescribeAsync(string[] places, CancellationToken cancellationToken) =>
        SchedulesOfBrokers.DescribeAsync(places, cancellationToken);
}
