using OrleansMq.Api;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>
/// Schedules as one session may use them: to schedule and to cancel needs <see cref="AccessOperation.Write"/> of the topic, to look at
/// them <see cref="AccessOperation.Describe"/>; to list those of all topics, <see cref="AccessOperation.Describe"/> of the cluster, too.
/// A schedule's record pays the session's quota of bytes when it is scheduled. Thread safe.
/// </summary>
internal sealed class SessionSchedules(ISchedules schedules, SessionAccess session) : ISchedules
{
    /// <inheritdoc/>
    public async ValueTask<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        session.Demand(AccessOperation.Write, ResourceType.Topic, schedule.Topic);
        return session.PaceOf(QuotaKey.ProducerByteRate) is { } pace
            ? await pace.WriteAsync(RecordBytes.Of(schedule), () => schedules.CreateAsync(schedule, cancellationToken))
                .ConfigureAwait(false)
            : await schedules.CreateAsync(schedule, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Write, ResourceType.Topic, topic);
        return await schedules.CancelAsync(topic, id, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Topic, topic);
        return await schedules.FindAsync(topic, id, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>Schedules of topics that the session may not describe are left out.</remarks>
    public async ValueTask<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        if (query.Topic is not null)
            session.Demand(AccessOperation.Describe, ResourceType.Topic, query.Topic);
        else
            session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        var page = await schedules.ListAsync(query, cancellationToken).ConfigureAwait(false);
        return page.Schedules.All(MayDescribe) ? page : page with { Schedules = [.. page.Schedules.Where(MayDescribe)] };
    }

    private bool MayDescribe(ScheduleDescription schedule) =>
        session.Allows(AccessOperation.Describe, ResourceType.Topic, schedule.Topic);
}
