using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>All groups of a standalone broker. A group is opened by its first request and stays open. A group that turns out not to exist
/// is closed again. Thread safe.</summary>
internal sealed class GroupCoordinators : IGroupCoordinator, IAsyncDisposable
{
    private readonly OpenCoordinators _open;
    private readonly int _brokerId;
    private readonly IStateStore _store;
    private readonly EngineLog _log;
    private readonly TimeProvider _time;

    /// <summary>Creates the coordinator of all groups, without opening any.</summary>
    /// <param name="brokerId">The broker.</param>
    /// <param name="store">The store of the groups' documents.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="options">Limits and timeouts.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    /// <param name="sight">Returns which topics members may describe now; null: every member all of them.</param>
    /// <param name="transactions">See <see cref="GroupCoordinator.OpenAsync"/>.</param>
    public GroupCoordinators(int brokerId, IStateStore store, IClusterMetadata topics, GroupOptions options, TimeProvider time,
        EngineLog log, Func<ITopicSight>? sight = null, Func<ITransactionCoordinator>? transactions = null)
    {
        store = GroupDocuments.Bound(store, options);
        (_brokerId, _store, _log, _time) = (brokerId, store, log, time);
        _open = new OpenCoordinators(GroupDocuments.Kind, async groupId =>
            await GroupCoordinator.OpenAsync(groupId, brokerId, store, topics, options, time, log, sight, transactions)
                .ConfigureAwait(false), log);
    }

    /// <summary>The number of open groups.</summary>
    public int OpenCount => _open.Count;

    /// <inheritdoc/>
    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
        request.Answer(GroupId.FindProblem(request.GroupId) is { } problem
            ? request.Refuse(ErrorCode.InvalidGroupId, problem)
            : await _open.AskAsync(request.GroupId, request, cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
        GroupId.FindProblem(groupId) is { } problem
            ? ValueTask.FromException<int>(new BrokerException(ErrorCode.InvalidGroupId, problem))
            : new(_brokerId);

    /// <inheritdoc/>
    /// <remarks>Groups that are not open are read without being opened, except those that have nothing to keep any more. A damaged group is
    /// listed as <see cref="GroupState.Unknown"/>.</remarks>
    public async ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default)
    {
        var listings = await FindAllAsync(ListOneAsync, cancellationToken).ConfigureAwait(false);
        listings.Sort((one, other) => string.CompareOrdinal(one.GroupId, other.GroupId));
        return listings;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<string>> ListConfiguredAsync(CancellationToken cancellationToken = default)
    {
        var configured = await FindAllAsync(async (groupId, _) =>
            await ReadAsync(groupId, cancellationToken).ConfigureAwait(false) is { Configs: not null } ? groupId : null, cancellationToken)
            .ConfigureAwait(false);
        configured.Sort(StringComparer.Ordinal);
        return configured;
    }

    /// <summary>Closes all groups: waiting requests are refused, and writes in flight complete.</summary>
    public ValueTask DisposeAsync() => _open.DisposeAsync();

    private async ValueTask<List<TFound>> FindAllAsync<TFound>(Func<string, CancellationToken, ValueTask<TFound?>> find,
        CancellationToken cancellationToken)
        where TFound : class
    {
        var all = new List<TFound>();
        try
        {
            foreach (var key in await _store.ListAsync(GroupDocument.StoreType, cancellationToken).ConfigureAwait(false))
            {
                if (await find(key[(GroupDocument.StoreType.Length + 1)..], cancellationToken).ConfigureAwait(false) is { } found)
                    all.Add(found);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, $"The groups cannot be read; retry: {exception.Message}",
                exception);
        }
        return all;
    }

    // A damaged document has no configuration: the list of groups names it.
    private async ValueTask<GroupDocument?> ReadAsync(string groupId, CancellationToken cancellationToken)
    {
        try
        {
            return await _store.ReadAsync(GroupDocument.KeyOf(groupId), cancellationToken).ConfigureAwait(false) is { } stored
                ? GroupDocument.Parse(stored.Value.Span) : null;
        }
        catch (Exception exception) when (exception is CorruptStateException or JsonException)
        {
            return null;
        }
    }

    private async ValueTask<GroupListing?> ListOneAsync(string groupId, CancellationToken cancellationToken)
    {
        try
        {
            if (_open.IsOpen(groupId))
                return await SendAsync(new ListGroup(groupId), cancellationToken).ConfigureAwait(false);
            if (await _store.ReadAsync(GroupDocument.KeyOf(groupId), cancellationToken).ConfigureAwait(false) is not { } stored)
                return null;
            var group = GroupDocument.Parse(stored.Value.Span);
            return await GroupDocuments.FindUseAsync(_store, groupId, group, _time.GetUtcNow()).ConfigureAwait(false) switch
            {
                GroupUse.Group => group.ToListing(groupId),
                GroupUse.Remains => null,
                _ => await SendAsync(new ListGroup(groupId), cancellationToken).ConfigureAwait(false),
            };
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.GroupIdNotFound)
        {
            return null; // The group was deleted meanwhile.
        }
        catch (Exception exception) when (exception is CorruptStateException or JsonException)
        {
            _log.Write(EngineLogLevel.Warning, $"Group '{groupId}' is damaged, and listed as unknown.", exception);
            return new GroupListing(groupId, "", GroupState.Unknown, GroupType.Unknown);
        }
    }
}
