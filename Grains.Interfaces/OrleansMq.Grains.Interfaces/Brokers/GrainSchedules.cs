using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>Schedules of a cluster, for an Orleans client: a silo carries out each call. Thread safe.</summary>
internal sealed class GrainSchedules(IGrainFactory grains, GrainBroker broker) : ISchedules
{
    private IScheduleGrain Grain => grains.GetBrokerGrain<IScheduleGrain>(GrainKeys.Cluster);

    /// <inheritdoc/>
    public ValueTask<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return AnswerAsync("Scheduling a record", Grain.CreateAsync(schedule, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken = default) =>
        AnswerAsync("Cancelling a schedule", Grain.CancelAsync(topic, id, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken = default) =>
        AnswerAsync("Looking up a schedule", Grain.FindAsync(topic, id, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        return AnswerAsync("Listing schedules", Grain.ListAsync(query, cancellationToken), cancellationToken);
    }

    private ValueTask<T> AnswerAsync<T>(string what, Task<T> call, CancellationToken cancellationToken) =>
        GrainFaults.AnswerAsync(what, broker.Answer(call), cancellationToken);
}
