using System.Text.Json;
using Orleans.Concurrency;
using OrleansMq.Api;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;

namespace OrleansMq.Grains.Groups;

/// <summary>Lists the groups of the index. Coordinators of groups with members are asked; the others are read as they are stored, so that a
/// list activates none, but for those that have nothing to keep any more: their coordinators delete them. It keeps nothing, so every silo
/// has one.</summary>
[GrainType("omq.group-list")]
[StatelessWorker(1), Reentrant]
internal sealed class GroupListGrain(CoordinatorDocuments documents, SiloBroker broker, GrainDoor door)
    : Grain, IGroupListGrain, IIncomingGrainCallFilter
{
    // Groups asked at a time: enough to overlap their reads, few enough to leave the store to commits.
    private const int AtATime = 64;

    // A group on its way to another broker arrives within some hundred milliseconds.
    private const int Attempts = 8;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly ICoordinatorStores _stores = documents.Of(GroupDocuments.Kind, GrainType.Create(GroupGrain.TypeName));

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context) => door.InvokeAsync(context);

    /// <inheritdoc/>
    public Task<GroupListing[]> ListAsync(CancellationToken cancellationToken) => FindAllAsync(FindAsync, cancellationToken);

    /// <inheritdoc/>
    public Task<string[]> ListConfiguredAsync(CancellationToken cancellationToken) => FindAllAsync(FindConfiguredAsync, cancellationToken);

    private async Task<TFound[]> FindAllAsync<TFound>(Func<string, Task<TFound?>> find, CancellationToken cancellationToken)
        where TFound : class
    {
        var all = new List<TFound>();
        try
        {
            foreach (var some in (await _stores.ListAsync()).Chunk(AtATime))
            {
                cancellationToken.ThrowIfCancellationRequested();
                all.AddRange((await Task.WhenAll(some.Select(find))).OfType<TFound>());
            }
        }
        catch (IOException failure)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, $"The list of groups cannot be read. Retry. ({failure.Message})",
                failure);
        }
        return [.. all];
    }

    // A damaged document has no configuration: the list of groups names it.
    private async Task<string?> FindConfiguredAsync(string groupId)
    {
        try
        {
            return await _stores.ReadAsync(groupId) is { } document && GroupDocument.Parse(document.Value.Span).Configs is not null
                ? groupId : null;
        }
        catch (Exception damaged) when (damaged is JsonException or CorruptStateException)
        {
            return null;
        }
    }

    private async Task<GroupListing?> FindAsync(string groupId)
    {
        GroupListing stored;
        try
        {
            if (await _stores.ReadAsync(groupId) is not { } document)
            {
                await _stores.ForgetAsync(groupId);
                return null;
            }
            var group = GroupDocument.Parse(document.Value.Span);
            stored = group.ToListing(groupId);
            var use = await GroupDocuments.FindUseAsync(_stores.For(groupId), groupId, group, broker.Options.TimeProvider.GetUtcNow());
            if (use == GroupUse.Remains)
                return null;
            if (use == GroupUse.Group && stored.State == GroupState.Empty)
                return stored;
        }
        catch (Exception damaged) when (damaged is JsonException or CorruptStateException)
        {
            return new GroupListing(groupId, "", GroupState.Unknown,
                GroupType.Unknown); // A request to the group itself reports the reason.
        }
        return await AskAsync(groupId, stored);
    }

    // As it is stored, where no broker coordinates it at the moment; null where it is gone.
    private async Task<GroupListing?> AskAsync(string groupId, GroupListing stored)
    {
        for (var attempt = 1; attempt <= Attempts; attempt++)
        {
            try
            {
                var answer = await GrainFactory.GetGrain<IGroupGrain>(groupId).SendAsync(new ListGroup(groupId), default);
                if (answer is GroupListing listing)
                    return listing;
                if (answer is GroupReply { Error: ErrorCode.GroupIdNotFound })
                    return null;
                if (answer is GroupReply refusal && refusal.Error.Action() != ErrorAction.Retry)
                    throw new BrokerException(refusal.Error, refusal.Message ?? refusal.Error.ToString());
            }
            catch (OrleansException)
            {
                // Its silo is gone, or not there yet.
            }
            await Task.Delay(Pause);
        }
        return stored;
    }
}
