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
    public async Task<int> FindCoordinatorAsync() => _coordinator is null
        ? throw new BrokerException(_refusal.Error, _refusal.Message)
        : await WatchAsync(_coordinator, new ValueTask<int>(broker.Options.BrokerId.Value));

    /// <inheritdoc/>
    public async Task<object?> SendAsync(IGroupRequest request, Guid wait)
    {
        if (_coordinator is not { } coordinator)
            return request.Refuse(_refusal.Error, _refusal.Message);
        var body = request is ConsumerGroupHeartbeat { MaxWait: var maxWait } poll && maxWait > GroupWaits.Slice
            ? poll with { MaxWait = GroupWaits.Slice } : request;
        return request.WaitsForMembers
            ? await WatchAsync(coordinator, new ValueTask<object?>(_waits.WaitAsync(wait, () => coordinator.AskAsync(body).AsTask())))
            : await WatchAsync(coordinator, coordinator.AskAsync(body));
    }

    /// <summary>Waits for an answer, then ends an activation that has lost its group, or has none.</summary>
    private async Task<T> WatchAsync<T>(GroupCoordinator coordinator, ValueTask<T> answer)
    {
        try
        {
            return await answer;
        }
        finally
        {
            if (coordinator.IsClosed)
                _ = EndAsync("Another activation coordinates the group."); // The next call is to find that one.
            else if (coordinator.IsVacant && !_isLookedAtAgain)
                _ = GoIfVacantAsync(coordinator);
        }
    }

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
