using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.GrainDirectory;
using Orleans.Placement;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Grains.Groups;

/// <summary>
/// One consumer group: a thin shell around the engine's <see cref="GroupCoordinator"/>. An activation claims the group's documents when it
/// begins; one that loses them to another goes. Reentrant, since the coordinator is thread safe: heartbeats go on while a commit waits for
/// the store.
/// <para>A group that nobody calls for an hour is let go: its members would have been out for half of that.</para>
/// </summary>
[GrainType(TypeName)]
[Immovable, Reentrant, CollectionAgeLimit(Hours = 1)]
[GroupPlacement, GrainDirectory(GroupDirectory.Name)]
internal sealed class GroupGrain(SiloBroker broker, ActiveGroups active, IGroupStores stores, IClusterMetadata topics,
    IServiceProvider services)
    : Grain, IGroupGrain, IGroupActivation
{
    /// <summary>The grain's type: the first half of its id.</summary>
    public const string TypeName = "omq.group";

    // For so long an activation that could not claim its group answers why: it bounds how often the store is asked.
    private static readonly TimeSpan RefusalTime = TimeSpan.FromMilliseconds(100);

    // For so long a group that has stored nothing is kept after the last look.
    private static readonly TimeSpan VacantTime = TimeSpan.FromSeconds(10);

    private readonly GroupWaits _waits = new(broker.Options.TimeProvider);
    private GroupCoordinator? _coordinator;
    // Why there is no coordinator, where there is none.
    private (ErrorCode Error, string Message) _refusal = (ErrorCode.NotCoordinator, "The group is on its way to another broker. Retry.");

    private bool _isLookedAtAgain;

    /// <inheritdoc/>
    public bool IsEnded => _coordinator is { IsClosed: true };

    private string GroupId => this.GetPrimaryKeyString();

    /// <inheritdoc/>
    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (active.IsLeaving)
        {
            Refuse(ErrorCode.CoordinatorNotAvailable,
                $"Broker {broker.Options.BrokerId} is stopping, and no other is there. Retry when one is.");
            return;
        }
        active.Add(GroupId, this);
        try
        {
            _coordinator = await GroupCoordinator.OpenAsync(GroupId, broker.Options.BrokerId.Value, stores.For(GroupId), topics,
                broker.Options.Groups,
                broker.Options.TimeProvider, broker.Options.Log);
        }
        catch (Exception failure) when (failure is BrokerException or IOException)
        {
            Refuse((failure as BrokerException)?.Code ?? ErrorCode.CoordinatorNotAvailable, failure.Message);
            return;
        }
        if (services.GetService<GroupSearch>() is { } search)
            _ = search.AnnounceAsync(GroupId);
    }

    /// <inheritdoc/>
    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        active.Remove(GroupId, this);
        if (_coordinator is { } coordinator)
            await coordinator.DisposeAsync();
    }

    /// <inheritdoc/>
    public async Task EndAsync(string reason)
    {
        active.Remove(GroupId, this);
        if (_coordinator is { } coordinator)
            await coordinator.DisposeAsync();
        Go(reason);
    }

    /// <inheritdoc/>
    public Task<int> FindCoordinatorAsync() => AskAsync(_ => new ValueTask<int>(broker.Options.BrokerId.Value));

    /// <inheritdoc/>
    public Task<JoinGroupResult?> JoinGroupAsync(JoinGroup request, Guid wait) => CallAsync(
        coordinator => new ValueTask<JoinGroupResult?>(_waits.WaitAsync(wait, () => coordinator.JoinGroupAsync(request).AsTask())),
        (error, message) => JoinGroupResult.Failed(error, message, request.MemberId));

    /// <inheritdoc/>
    public Task<SyncGroupResult?> SyncGroupAsync(SyncGroup request, Guid wait) => CallAsync(
        coordinator => new ValueTask<SyncGroupResult?>(_waits.WaitAsync(wait, () => coordinator.SyncGroupAsync(request).AsTask())),
        (error, message) => new SyncGroupResult(error, message));

    /// <inheritdoc/>
    public Task<GroupReply> HeartbeatAsync(Heartbeat request) =>
        CallAsync(coordinator => coordinator.HeartbeatAsync(request), (error, message) => new GroupReply(error, message));

    /// <inheritdoc/>
    public Task<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request) =>
        CallAsync(coordinator => coordinator.LeaveGroupAsync(request), (error, message) => new LeaveGroupResult(error, [], message));

    /// <inheritdoc/>
    public Task<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request) => CallAsync(
        coordinator => coordinator.ConsumerGroupHeartbeatAsync(request.MaxWait > GroupWaits.Slice
            ? request with { MaxWait = GroupWaits.Slice } : request),
        ConsumerGroupHeartbeatResult.Failed);

    /// <inheritdoc/>
    public Task<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request) =>
        CallAsync(coordinator => coordinator.CommitOffsetsAsync(request),
            (error, message) => new OffsetCommitResult(
                [.. request.Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, error, offset.TopicId))], message));

    /// <inheritdoc/>
    public Task<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request) =>
        CallAsync(coordinator => coordinator.FetchOffsetsAsync(request), (error, message) => new OffsetFetchResult(error, [], message));

    /// <inheritdoc/>
    public Task<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request) =>
        CallAsync(coordinator => coordinator.DeleteOffsetsAsync(request), (error, message) => new OffsetDeleteResult(error, [], message));

    /// <inheritdoc/>
    public Task<GroupListing?> FindAsync() => AskAsync(coordinator => coordinator.ListAsync());

    /// <inheritdoc/>
    public Task<GroupDescription> DescribeAsync() => AskAsync(coordinator => coordinator.DescribeAsync());

    /// <inheritdoc/>
    public Task DeleteAsync() => AskAsync(async coordinator =>
    {
        await coordinator.DeleteAsync();
        return true;
    });

    private async Task<T> CallAsync<T>(Func<GroupCoordinator, ValueTask<T>> call, Func<ErrorCode, string, T> failed)
    {
        if (_coordinator is not { } coordinator)
            return failed(_refusal.Error, _refusal.Message);
        try
        {
            return await call(coordinator);
        }
        finally
        {
            if (coordinator.IsClosed)
                _ = EndAsync("Another activation coordinates the group."); // The next call is to find that one.
            else if (coordinator.IsVacant && !_isLookedAtAgain)
                _ = GoIfVacantAsync(coordinator);
        }
    }

    private Task<T> AskAsync<T>(Func<GroupCoordinator, ValueTask<T>> ask) =>
        CallAsync(ask, (error, message) => throw new BrokerException(error, message));

    // Of made-up ids nothing is to stay; a group whose first member is just coming is not to be disturbed.
    private async Task GoIfVacantAsync(GroupCoordinator coordinator)
    {
        _isLookedAtAgain = true;
        await Task.Delay(VacantTime, broker.Options.TimeProvider, CancellationToken.None);
        _isLookedAtAgain = false;
        if (coordinator.IsVacant)
            await EndAsync("Nothing is stored of the group.");
    }

    private void Refuse(ErrorCode error, string message)
    {
        active.Remove(GroupId, this);
        _refusal = (error, message);
        _ = GoAfterRefusalAsync();
    }

    private async Task GoAfterRefusalAsync()
    {
        await Task.Delay(RefusalTime, broker.Options.TimeProvider, CancellationToken.None);
        Go("It could not claim its group.");
    }

    // Not DeactivateOnIdle, which fails where Orleans has ended the activation meanwhile.
    private void Go(string reason)
    {
        broker.Log(EngineLogLevel.Debug, $"The coordinator of group '{GroupId}' goes. {reason}");
        GrainContext.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, reason));
    }
}
