using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>
/// Schedules as one session may use them: to schedule and to cancel needs <see cref="AccessOperation.Write"/> of the topic, to look at
/// them <see cref="AccessOperation.Describe"/>. Thread safe.
/// </summary>
internal sealed class SessionSchedules(ISchedules schedules, SessionAccess session) : ISchedules
{
    /// <inheritdoc/>
    public async ValueTask<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        session.Demand(AccessOperation.Write, ResourceType.Topic, schedule.Topic);
        return await schedules.CreateAsync(schedule, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>A schedule of a topic that the session may not describe is not revealed.</remarks>
    public async ValueTask<bool> CancelAsync(string id, CancellationToken cancellationToken = default)
    {
        if (await FindAsync(id, cancellationToken).ConfigureAwait(false) is not { } found)
            return false;
        session.Demand(AccessOperation.Write, ResourceType.Topic, found.Topic);
        return await schedules.CancelAsync(id, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>A schedule of a topic that the session may not describe is not revealed.</remarks>
    public async ValueTask<ScheduleDescription?> FindAsync(string id, CancellationToken cancellationToken = default) =>
        await schedules.FindAsync(id, cancellationToken).ConfigureAwait(false) is { } found && MayDescribe(found) ? found : null;

    /// <inheritdoc/>
    /// <remarks>Schedules of topics that the session may not describe are left out.</remarks>
    public async ValueTask<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        if (query.Topic is not null)
            session.Demand(AccessOperation.Describe, ResourceType.Topic, query.Topic);
        var page = await schedules.ListAsync(query, cancellationToken).ConfigureAwait(false);
        return page.Schedules.All(MayDescribe) ? page : page with { Schedules = [.. page.Schedules.Where(MayDescribe)] };
    }

    private bool MayDescribe(ScheduleDescription schedule) =>
        session.Allows(AccessOperation.Describe, ResourceType.Topic, schedule.Topic);
}
