using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Access;

namespace OrleansMq.Grains;

/// <summary>Lists the cluster's consumer groups. Callers see one grain, under the key <see cref="GrainKeys.Cluster"/>; every silo answers
/// for itself.</summary>
[Alias("omq.IGroupListGrain")]
public interface IGroupListGrain : IGrainWithStringKey
{
    /// <summary>Lists all groups by id in ordinal order. Each group is asked for its state, so ten thousand groups take seconds.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: the index of groups, or one of them, cannot be
    /// read; retry.</exception>
    [Alias("List")]
    [ResponseTimeout(GrainTimes.Administration)]
    [FilteredList]
    Task<GroupListing[]> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Lists the ids that have a configuration, in ordinal order: of groups, and such that no group has at the moment.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: the index of groups, or one of them, cannot be
    /// read; retry.</exception>
    [Alias("ListConfigured")]
    [ResponseTimeout(GrainTimes.Administration)]
    [GrainRule(AccessOperation.DescribeConfigs, ResourceType.Cluster)]
    Task<string[]> ListConfiguredAsync(CancellationToken cancellationToken = default);
}
