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
    private readonly SessionSchedules _schedules = new(access.Broker.Schedules, door.Clients);

    /// <inheritdoc/>
    public Task<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken) =>
        _schedules.CreateAsync(schedule, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken) =>
        _schedules.CancelAsync(topic, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken) =>
        _schedules.FindAsync(topic, id, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken) =>
        _schedules.ListAsync(query, cancellationToken).AsTask();
}
