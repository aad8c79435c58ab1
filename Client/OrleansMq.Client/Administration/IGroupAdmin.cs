using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// Administration of consumer groups. A rejected request throws <see cref="BrokerException"/> with the code and how to fix it, such as
/// <see cref="ErrorCode.GroupIdNotFound"/>, or <see cref="ErrorCode.CoordinatorNotAvailable"/>, which may be retried.
/// </summary>
public interface IGroupAdmin
{
    /// <summary>Lists all groups, ordered by id.</summary>
    Task<IReadOnlyList<GroupListing>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Describes a group and its members.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>.</exception>
    Task<GroupDescription> DescribeAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>Returns how far a group is behind in each partition, in records and in seconds.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>.</exception>
    Task<IReadOnlyList<PartitionLag>> GetLagAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>Returns where a share group is in each partition of its topics: its first offset that is not settled, and how many records
    /// are in flight, and behind.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>: there is no such share group.</exception>
    Task<IReadOnlyList<SharePartition>> GetSharePartitionsAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>Shows what a reset would do, such as <c>new OffsetReset("billing", OffsetTarget.Earliest, ["orders"])</c>. Nothing
    /// changes.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>, <see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.GroupIdNotFound"/>.</exception>
    Task<OffsetResetPlan> PlanResetAsync(OffsetReset reset, CancellationToken cancellationToken = default);

    /// <summary>Resets the offsets of a group without members, completely or not at all.</summary>
    /// <exception cref="BrokerException">As <see cref="PlanResetAsync"/>; <see cref="ErrorCode.NonEmptyGroup"/>: stop its members
    /// first.</exception>
    Task<OffsetResetPlan> ResetAsync(OffsetReset reset, CancellationToken cancellationToken = default);

    /// <summary>Deletes a group that has no members, with its offsets. This cannot be undone.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.NonEmptyGroup"/>.</exception>
    Task DeleteAsync(string groupId, CancellationToken cancellationToken = default);
}
