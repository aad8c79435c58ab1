using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>Which consumer groups there are in the cluster. One grain to its callers, under the key <see cref="GrainKeys.Cluster"/>; every
/// silo answers by itself.</summary>
[Alias("omq.IGroupListGrain")]
public interface IGroupListGrain : IGrainWithStringKey
{
    /// <summary>All groups, by id in ordinal order. Each is asked what it is doing, so that ten thousand of them take seconds.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: the index of groups, or one of them, cannot be
    /// read; retry.</exception>
    [Alias("List")]
    [ResponseTimeout(GrainTimes.Administration)]
    Task<GroupListing[]> ListAsync();
}
