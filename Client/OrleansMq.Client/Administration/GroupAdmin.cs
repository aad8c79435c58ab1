using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Groups;

namespace OrleansMq.Client;

/// <summary>Administration of consumer groups over a broker. See <see cref="IGroupAdmin"/>.</summary>
internal sealed class GroupAdmin(IBroker broker) : IGroupAdmin
{
    private readonly GroupLag _lag = new(broker, TimeProvider.System, StandardCodecs.All);
    private readonly GroupOffsetResets _resets = new(broker, TimeProvider.System);

    public Task<IReadOnlyList<GroupListing>> ListAsync(CancellationToken cancellationToken) =>
        broker.Groups.ListGroupsAsync(cancellationToken).AsTask();

    public Task<GroupDescription> DescribeAsync(string groupId, CancellationToken cancellationToken) =>
        broker.Groups.DescribeGroupAsync(groupId, cancellationToken).AsTask();

    // Over HTTP the broker does this work in one request.
    public Task<IReadOnlyList<PartitionLag>> GetLagAsync(string groupId, CancellationToken cancellationToken) =>
        (broker is HttpBroker http ? http.GetGroupLagAsync(groupId, cancellationToken) : _lag.OfAsync(groupId, cancellationToken)).AsTask();

    public Task<IReadOnlyList<SharePartition>> GetSharePartitionsAsync(string groupId, CancellationToken cancellationToken) =>
        (broker is HttpBroker http ? http.GetSharePartitionsAsync(groupId, cancellationToken)
            : new ShareProgress(broker).OfAsync(groupId, cancellationToken)).AsTask();

    public Task<OffsetResetPlan> PlanResetAsync(OffsetReset reset, CancellationToken cancellationToken) =>
        (broker is HttpBroker http ? http.ResetGroupOffsetsAsync(reset, execute: false, cancellationToken)
            : _resets.PlanAsync(reset, cancellationToken)).AsTask();

    public Task<OffsetResetPlan> ResetAsync(OffsetReset reset, CancellationToken cancellationToken) =>
        (broker is HttpBroker http ? http.ResetGroupOffsetsAsync(reset, execute: true, cancellationToken)
            : _resets.ExecuteAsync(reset, cancellationToken)).AsTask();

    public Task DeleteAsync(string groupId, CancellationToken cancellationToken) =>
        broker.Groups.DeleteGroupAsync(groupId, cancellationToken).AsTask();
}
