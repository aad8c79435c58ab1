using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>Assignment, revocation and loss of partitions.</content>
internal sealed partial class ConsumerCore
{
    // Listeners are called one at a time, in the order of the events.
    private readonly TaskQueue _rebalances = new();

    public Task AddAsync(IReadOnlyCollection<ClaimedPartition> partitions, ReadFrom? start = null) =>
        partitions.Count == 0 ? Task.CompletedTask : _rebalances.RunAsync(() => TakeAsync(partitions, start));

    public Task RevokeAsync(IReadOnlyCollection<TopicPartition> partitions) =>
        partitions.Count == 0 ? Task.CompletedTask : _rebalances.RunAsync(() => GiveUpAsync(partitions));

    public void LoseAll(string reason)
    {
        AssignedPartition[] claims;
        lock (_gate)
        {
            claims = [.. _assigned.Values];
            _assigned.Clear();
            NoteUncommitted(claims);
            // Without partitions the lease cannot expire.
            _lease.Release();
        }
        if (claims.Length == 0)
            return;
        foreach (var claim in claims)
            claim.Leave();
        LogLost(Group, Names(claims), reason);
        _ = _rebalances.RunAsync(() => TellAsync(static (listener, consumer, which, token) => listener.OnLostAsync(consumer, which, token),
            claims, "OnLostAsync"));
    }

    public void Fail(ConsumerGroupException failure)
    {
        LoseAll(failure.Message);
        Volatile.Write(ref _failure, failure);
        LogFailed(failure.Message);
        Buffer.Wake();
    }

    private async Task TakeAsync(IReadOnlyCollection<ClaimedPartition> partitions, ReadFrom? start)
    {
        List<AssignedPartition> claims = [];
        lock (_gate)
        {
            if (_isClosing)
                return;
            foreach (var item in partitions)
            {
                if (!_assigned.ContainsKey(item.Partition))
                    claims.Add(_assigned[item.Partition] = new AssignedPartition(Buffer, item.Partition, item.TopicId));
            }
        }
        if (claims.Count == 0)
            return;
        LogAssigned(Group, Names(claims));
        var problem = await TellAsync(static (listener, consumer, which, token) => listener.OnAssignedAsync(consumer, which, token), claims,
            "OnAssignedAsync").ConfigureAwait(false);
        foreach (var claim in claims)
        {
            claim.AllowBegin();
            // The listener may have meant to set the position, so nothing is read from anywhere else instead.
            if (problem is not null)
                claim.Begin(ReadFrom.Latest, failure: new ConsumeException(ErrorCode.UnknownServerError, claim.Partition, -1,
                    $"{claim.Partition}: the rebalance listener's OnAssignedAsync has failed: {problem.Message} Seek to where it is to "
                    + "start.", problem));
        }
        _ = Task.Run(() => StartAsync(claims, start));
    }

    private async Task GiveUpAsync(IReadOnlyCollection<TopicPartition> partitions)
    {
        AssignedPartition[] claims;
        lock (_gate)
            claims = [.. partitions.Select(partition => _assigned.GetValueOrDefault(partition)).OfType<AssignedPartition>()];
        await DrainAsync(claims).ConfigureAwait(false);
        if (_options.AutoCommit && _options.GroupId is not null)
            await CommitQuietlyAsync(claims, _stop.Token).ConfigureAwait(false);
        await TellAsync(static (listener, consumer, which, token) => listener.OnRevokedAsync(consumer, which, token),
            [.. claims.Where(static claim => !claim.IsGone)], "OnRevokedAsync").ConfigureAwait(false);
        Forget(claims);
        if (claims.Length > 0)
            LogRevoked(Group, Names(claims));
    }

    private async Task DrainAsync(AssignedPartition[] claims)
    {
        var idle = Task.WhenAll(claims.Select(claim => claim.DrainAsync()));
        try
        {
            await idle.WaitAsync(_options.DrainTimeout, Time, _hurry.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            LogNotDrained(Names([.. claims.Where(static claim => claim.InFlight > 0)]), _options.DrainTimeout);
        }
    }

    private void NoteUncommitted(IEnumerable<AssignedPartition> claims)
    {
        if (!_options.AutoCommit)
            _goneUncommitted.UnionWith(claims.Where(static claim => claim.HasUncommitted).Select(static claim => claim.Partition));
    }

    private void Forget(AssignedPartition[] claims)
    {
        lock (_gate)
        {
            foreach (var claim in claims.Where(claim => _assigned.GetValueOrDefault(claim.Partition) == claim))
            {
                _assigned.Remove(claim.Partition);
                NoteUncommitted([claim]);
            }
        }
        foreach (var claim in claims)
            claim.Leave();
    }

    /// <summary>Calls the listener. Returns the exception that it threw, if any.</summary>
    private async Task<Exception?> TellAsync(
        Func<IRebalanceListener, IConsumer, IReadOnlyList<TopicPartition>, CancellationToken, ValueTask> call,
        IReadOnlyList<AssignedPartition> claims, string name)
    {
        if (_options.RebalanceListener is not { } listener || claims.Count == 0)
            return null;
        try
        {
            await call(listener, Facade, [.. claims.Select(static claim => claim.Partition)], _stop.Token).ConfigureAwait(false);
            return null;
        }
        catch (Exception e)
        {
            // A fault of the application must not withhold partitions from other members.
            LogListenerFailed(e, name);
            return e;
        }
    }

    /// <summary>Finds where new partitions start and begins there. Retries as long as they are assigned to the consumer.</summary>
    private async Task StartAsync(List<AssignedPartition> claims, ReadFrom? start)
    {
        try
        {
            for (var attempt = 1; ; attempt++)
            {
                claims.RemoveAll(static claim => !claim.NeedsStart);
                if (claims.Count == 0)
                    return;
                var problem = _options.GroupId is null || start is not null && Membership is null
                    ? StartWithout(claims, start)
                    : await StartAtCommittedAsync(claims, start).ConfigureAwait(false);
                if (problem is null)
                    continue;
                var wait = _reader.BackoffAfter(attempt);
                LogStartRetry(claims.Count, wait, problem);
                await Task.Delay(wait, Time, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException && _stop.IsCancellationRequested)
        {
            // Closed.
        }
        catch (Exception e)
        {
            // An unexpected exception, which no broker error describes: report it to the application instead of waiting forever.
            var code = e is BrokerException known ? known.Code : ErrorCode.UnknownServerError;
            Fail(new ConsumerGroupException(code, _options.GroupId, $"The committed offsets cannot be read: {e.Message}", e));
        }
    }

    private string? StartWithout(IEnumerable<AssignedPartition> claims, ReadFrom? start)
    {
        foreach (var claim in claims)
            Reset(claim, start);
        return null;
    }

    private async Task<string?> StartAtCommittedAsync(List<AssignedPartition> claims, ReadFrom? start)
    {
        OffsetFetchResult result;
        try
        {
            result = await FetchCommittedAsync([.. claims.Select(static claim => claim.Partition)], _stop.Token).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            return e.Message;
        }
        if (result.Error != ErrorCode.None)
        {
            // A fenced member learns of it by its heartbeat, and then loses these partitions.
            return result.Error.Action() is ErrorAction.Retry or ErrorAction.GiveUp
                ? result.Message ?? result.Error.ToString()
                : throw new BrokerException(result.Error, result.Message ?? result.Error.ToString());
        }
        string? problem = null;
        var found = result.Partitions.ToDictionary(static item => item.Partition);
        foreach (var claim in claims)
        {
            if (found.TryGetValue(claim.Partition, out var item) && item.Error != ErrorCode.None)
                problem = $"{claim.Partition}: {item.Error}";
            else if (item?.Offset is { } committed)
                claim.Begin(ReadFrom.Offset(committed.Offset), committed: true);
            else
                Reset(claim, start);
        }
        return problem;
    }

    private ValueTask<OffsetFetchResult> FetchCommittedAsync(IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken)
    {
        var who = GroupMetadata;
        var isChecked = _options.Protocol == GroupType.Consumer && who.MemberId.Length > 0;
        return _broker.Groups.FetchOffsetsAsync(new OffsetFetch
        {
            GroupId = _options.GroupId!,
            Partitions = partitions,
            MemberId = isChecked ? who.MemberId : null,
            MemberEpoch = isChecked ? who.GenerationIdOrMemberEpoch : -1,
            RequireStable = true,
        }, cancellationToken);
    }

    private void Reset(AssignedPartition claim, ReadFrom? start)
    {
        var position = start ?? _options.AutoOffsetReset switch
        {
            AutoOffsetReset.Earliest => ReadFrom.Earliest,
            AutoOffsetReset.Latest => ReadFrom.Latest,
            _ => (ReadFrom?)null,
        };
        if (position is { } chosen)
            claim.Begin(chosen);
        else
            claim.Begin(ReadFrom.Latest, failure: new NoCommittedOffsetException(claim.Partition, _options.GroupId));
    }

    /// <summary>Names partitions in a log line, which stays readable when there are thousands.</summary>
    private static string Names(IReadOnlyList<AssignedPartition> claims)
    {
        const int Shown = 20;
        var names = string.Join(", ", claims.Take(Shown).Select(static claim => claim.Partition));
        return claims.Count <= Shown ? names : $"{names} and {claims.Count - Shown} others";
    }

    [LoggerMessage(23, LogLevel.Warning, "Group {Group}: lost {Partitions}: {Reason}")]
    private partial void LogLost(string group, string partitions, string reason);

    [LoggerMessage(47, LogLevel.Information, "Group {Group}: assigned {Partitions}.")]
    private partial void LogAssigned(string group, string partitions);

    [LoggerMessage(48, LogLevel.Information, "Group {Group}: revoked {Partitions}.")]
    private partial void LogRevoked(string group, string partitions);

    [LoggerMessage(24, LogLevel.Error, "The consumer has failed: {Reason}")]
    private partial void LogFailed(string reason);

    [LoggerMessage(25, LogLevel.Warning, "Revoked with records in flight, which another member reads again: {Partitions} were not done "
        + "within {Limit}. Raise DrainTimeout, or speed up the handlers.")]
    private partial void LogNotDrained(string partitions, TimeSpan limit);

    [LoggerMessage(26, LogLevel.Error, "The rebalance listener's {Method} failed; the rebalance continues.")]
    private partial void LogListenerFailed(Exception exception, string method);

    [LoggerMessage(27, LogLevel.Warning, "The committed offsets of {Partitions} partitions cannot be read yet; retrying in {Wait}. "
        + "{Reason}")]
    private partial void LogStartRetry(int partitions, TimeSpan wait, string reason);
}
