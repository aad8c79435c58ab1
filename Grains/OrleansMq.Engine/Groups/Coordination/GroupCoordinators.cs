using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>All groups of one broker that stands alone. Each is opened when it is first asked for, and stays open; what turns out not to
/// exist is closed again. Thread safe.</summary>
public sealed partial class GroupCoordinators : IGroupCoordinator, IAsyncDisposable
{
    // A coordinator ends by itself only where it has a bug, or where two brokers use one data directory, which its lock forbids: more than
    // one new attempt helps nobody.
    private const int MaxAttempts = 2;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, OpenGroup> _groups = new(StringComparer.Ordinal);
    private readonly int _brokerId;
    private readonly IStateStore _store;
    private readonly IClusterMetadata _topics;
    private readonly GroupOptions _options;
    private readonly TimeProvider _time;
    private readonly EngineLog _log;
    private bool _isClosed;

    /// <summary>Opens nothing.</summary>
    /// <param name="brokerId">The broker.</param>
    /// <param name="store">Where groups' documents are.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="options">Bounds and times.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Where log lines go.</param>
    public GroupCoordinators(int brokerId, IStateStore store, IClusterMetadata topics, GroupOptions options, TimeProvider time,
        EngineLog log) =>
        (_brokerId, _store, _topics, _options, _time, _log) = (brokerId, store, topics, options, time, log);

    /// <summary>How many groups are open.</summary>
    public int OpenCount
    {
        get
        {
            lock (_gate)
                return _groups.Count;
        }
    }

    /// <summary>All groups, by id in ordinal order. Those that are not open are read without being opened; one that is damaged is listed as
    /// <see cref="GroupState.Unknown"/>.</summary>
    public async ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default)
    {
        var listings = new List<GroupListing>();
        try
        {
            foreach (var key in await _store.ListAsync(GroupDocument.StoreType, cancellationToken).ConfigureAwait(false))
            {
                if (await ListOneAsync(key[(GroupDocument.StoreType.Length + 1)..], cancellationToken).ConfigureAwait(false) is { } listing)
                    listings.Add(listing);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, $"The groups cannot be read; retry: {exception.Message}",
                exception);
        }
        listings.Sort((one, other) => string.CompareOrdinal(one.GroupId, other.GroupId));
        return listings;
    }

    private async ValueTask<GroupListing?> ListOneAsync(string groupId, CancellationToken cancellationToken)
    {
        bool isOpen;
        lock (_gate)
            isOpen = _groups.ContainsKey(groupId);
        try
        {
            if (isOpen)
                return await SendAsync(new ListGroup(groupId), cancellationToken).ConfigureAwait(false);
            var stored = await _store.ReadAsync(GroupDocument.KeyOf(groupId), cancellationToken).ConfigureAwait(false);
            return stored is null ? null : GroupDocument.Parse(stored.Value.Span).ToListing(groupId);
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.GroupIdNotFound)
        {
            return null; // It was deleted while it was open.
        }
        catch (Exception exception) when (exception is CorruptStateException or JsonException)
        {
            _log.Write(EngineLogLevel.Warning, $"Group '{groupId}' is damaged, and listed as unknown.", exception);
            return new GroupListing(groupId, "", GroupState.Unknown, GroupType.Unknown);
        }
    }

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
        GroupId.FindProblem(groupId) is { } problem
            ? ValueTask.FromException<int>(new BrokerException(ErrorCode.InvalidGroupId, problem))
            : new(_brokerId);

    /// <inheritdoc/>
    /// <remarks>The group is opened where it is not open.</remarks>
    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default)
    {
        if (GroupId.FindProblem(request.GroupId) is { } problem)
            return request.Refused(ErrorCode.InvalidGroupId, problem);
        for (var attempt = 1; ; attempt++)
        {
            if (Rent(request.GroupId) is not { } group)
                return request.Refused(ErrorCode.CoordinatorNotAvailable, "The broker stops: retry at another, or later.");
            try
            {
                var coordinator = await group.Opening.WaitAsync(cancellationToken).ConfigureAwait(false);
                if (!coordinator.IsClosed || attempt == MaxAttempts)
                    return request.Answer(await coordinator.AskAsync(request, cancellationToken).ConfigureAwait(false));
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                _log.Write(EngineLogLevel.Error, $"Group '{request.GroupId}' cannot be opened.", exception);
                return request.Refused(ErrorCode.CoordinatorNotAvailable, $"The group cannot be opened; retry: {exception.Message}");
            }
            finally
            {
                await ReturnAsync(request.GroupId, group).ConfigureAwait(false);
            }
        }
    }

    private OpenGroup? Rent(string groupId)
    {
        lock (_gate)
        {
            if (_isClosed)
                return null;
            if (!_groups.TryGetValue(groupId, out var group) || group.IsEnded)
                _groups[groupId] = group =
                    new OpenGroup(Task.Run(() => GroupCoordinator.OpenAsync(groupId, _brokerId, _store, _topics, _options, _time, _log)));
            group.Users++;
            return group;
        }
    }

    private async ValueTask ReturnAsync(string groupId, OpenGroup group)
    {
        lock (_gate)
        {
            group.Users--;
            if (group.Users > 0 || group.IsWorthKeeping)
                return;
            if (_groups.TryGetValue(groupId, out var current) && current == group)
                _groups.Remove(groupId);
        }
        if (group.Opening.IsCompletedSuccessfully)
            await (await group.Opening.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Closes all groups: those who wait are answered, what is on its way to the store gets there.</summary>
    public async ValueTask DisposeAsync()
    {
        List<OpenGroup> open;
        lock (_gate)
        {
            _isClosed = true;
            open = [.. _groups.Values];
            _groups.Clear();
        }
        foreach (var group in open)
        {
            await group.Opening.ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
            if (group.Opening.IsCompletedSuccessfully)
                await (await group.Opening.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
        }
    }

    private sealed class OpenGroup(Task<GroupCoordinator> opening)
    {
        public Task<GroupCoordinator> Opening { get; } = opening;

        public int Users { get; set; }

        /// <summary>It could not be opened, or answers no more: who comes next opens it again.</summary>
        public bool IsEnded => Opening.IsCompleted && (!Opening.IsCompletedSuccessfully || Opening.Result.IsClosed);

        public bool IsWorthKeeping => !Opening.IsCompleted || (!IsEnded && !Opening.Result.IsVacant);
    }
}
