using Orleans.Concurrency;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Access;

namespace OrleansMq.Grains.Schedules;

/// <summary>Schedules for Orleans clients: authorizes a request, and passes it to the partition that it belongs to, wherever that is led.
/// It keeps nothing, so every silo has one.</summary>
[GrainType("omq.schedules")]
[StatelessWorker, Reentrant]
internal sealed class ScheduleGrain(BrokerAccess access, GrainDoor door) : Grain, IScheduleGrain
{
    // Of the call that is carried out.
    private SessionSchedules Schedules => new(access.Broker.Schedules, door.CallerOf<IScheduleGrain>());

    /// <inheritdoc/>
    public Task<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken) =>
        Schedules.CreateAsync(schedule, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken) =>
        Schedules.CancelAsync(topic, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken) =>
        Schedules.FindAsync(topic, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken) =>
        Schedules.ListAsync(query, cancellationToken).AsTask();
}
