using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Schedules;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// The schedules of a partition, for a silo. Where this silo leads the partition, calls go to the engine. While its leadership moves,
/// requests that had no effect are repeated for a while.
/// </summary>
/// <param name="broker">Finds the partition's grain.</param>
/// <param name="local">The partitions that are active on this silo.</param>
/// <param name="options">Times.</param>
/// <param name="partition">The partition.</param>
internal sealed class GrainPartitionSchedules(GrainBroker broker, ILocalPartitions local, GrainBrokerOptions options,
    TopicPartition partition) : IPartitionSchedules
{
    /// <inheritdoc/>
    public Task<ScheduleDescription> CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken) =>
        RepeatAsync(here => here.CreateAsync(topicId, schedule, cancellationToken),
            grain => grain.CreateAsync(topicId, schedule, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public Task<bool> CancelAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
        RepeatAsync(here => here.CancelAsync(topicId, id, cancellationToken),
            grain => grain.CancelAsync(topicId, id, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public Task<ScheduleDescription?> FindAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
        RepeatAsync(here => here.FindAsync(topicId, id, cancellationToken),
            grain => grain.FindAsync(topicId, id, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public Task<string[]> ListAsync(string? after, int maxCount, CancellationToken cancellationToken) =>
        RepeatAsync(here => here.ListAsync(after, maxCount, cancellationToken),
            grain => grain.ListAsync(after, maxCount, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public Task<ScheduleDescription[]> DescribeAsync(string[] places, CancellationToken cancellationToken) =>
        RepeatAsync(here => here.DescribeAsync(places, cancellationToken),
            grain => grain.DescribeAsync(places, cancellationToken), cancellationToken);

    private async Task<T> RepeatAsync<T>(Func<IPartitionSchedules, Task<T>> here, Func<IScheduleForwardGrain, Task<T>> call,
        CancellationToken cancellationToken)
    {
        var outcome = await LeaderPatience.RepeatAsync(options, () => local.TryGet(partition, out var found)
            ? new(OutcomeOfAsync(here(found.Schedules)))
            : broker.CallAsync(partition, grains => broker.Answer(OutcomeOfAsync(call(grains.Grain.Schedules))),
                static outcome => outcome.Error, static (error, message) => new Outcome<T>(error, default, message)),
            static outcome => LeaderPatience.HasMoved(outcome.Error), cancellationToken).ConfigureAwait(false);
        return outcome.Error == ErrorCode.None ? outcome.Value! : throw new BrokerException(outcome.Error, outcome.Message!);
    }

    private static async Task<Outcome<T>> OutcomeOfAsync<T>(Task<T> call)
    {
        try
        {
            return new Outcome<T>(ErrorCode.None, await call.ConfigureAwait(false), null);
        }
        catch (BrokerException refused)
        {
            return new Outcome<T>(refused.Code, default, refused.Message);
        }
    }

    private readonly record struct Outcome<T>(ErrorCode Error, T? Value, string? Message);
}
