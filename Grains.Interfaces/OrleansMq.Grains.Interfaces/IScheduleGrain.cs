using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// The cluster's schedules: records that are appended to a topic at a time, once or again and again. Callers see one grain, under the key
/// <see cref="GrainKeys.Cluster"/>; every silo answers for itself. <see cref="ISchedules"/> says what each operation does.
/// <para>Errors are thrown as <see cref="BrokerException"/>; <see cref="ErrorCodes.Action"/> says whether to retry. After a
/// <see cref="TimeoutException"/> or an Orleans exception the outcome is unknown: repeat the call with its id.</para>
/// </summary>
[Alias("omq.IScheduleGrain")]
public interface IScheduleGrain : IGrainWithStringKey
{
    /// <summary>Schedules a record, and completes when that is stored. Idempotent where it has an id.</summary>
    [Alias("Create")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ScheduleDescription> CreateAsync(NewSchedule schedule, CancellationToken cancellationToken = default);

    /// <summary>Cancels a schedule, and completes when that is stored; false if it does not wait.</summary>
    [Alias("Cancel")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<bool> CancelAsync(string topic, string id, CancellationToken cancellationToken = default);

    /// <summary>Describes a schedule; null if it does not wait.</summary>
    [Alias("Find")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ScheduleDescription?> FindAsync(string topic, string id, CancellationToken cancellationToken = default);

    /// <summary>Lists the schedules that wait, in the order of their times.</summary>
    [Alias("List")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<SchedulePage> ListAsync(ScheduleQuery query, CancellationToken cancellationToken = default);
}
