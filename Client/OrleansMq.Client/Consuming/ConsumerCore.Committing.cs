using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>Commits of offsets.</content>
internal sealed partial class ConsumerCore
{
    /// <summary>Selects what <see cref="CommitAsync(CancellationToken)"/> commits for a partition: what is done, or for a consumer whose
    /// application reads records, all that was handed out.</summary>
    public Func<AssignedPartition, TopicPartitionOffset?> Position { get; init; } = static claim => claim.ToCommit();

    public async Task<IReadOnlyDictionary<TopicPartition, CommittedOffset>> GetCommittedAsync(IEnumerable<TopicPartition> partitions,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        RequireGroup();
        TopicPartition[] asked = [.. partitions];
        var since = Time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            ErrorCode code;
            string? message;
            try
            {
                var result = await FetchCommittedAsync(asked, cancellationToken).ConfigureAwait(false);
                code = result.Error != ErrorCode.None ? result.Error
                    : result.Partitions.Select(static item => item.Error).FirstOrDefault(static error => error != ErrorCode.None);
                if (code == ErrorCode.None)
                    return result.Partitions.Where(static item => item.Offset is not null)
                        .ToDictionary(static item => item.Partition, static item => item.Offset!);
                message = result.Message;
            }
            catch (BrokerException e)
            {
                (code, message) = (e.Code, e.Message);
            }
            if (code.Action() != ErrorAction.Retry || Time.GetElapsedTime(since) >= _options.CommitTimeout)
                throw new CommitException(code, asked,
                    $"Group '{_options.GroupId}': the committed offsets cannot be read: {message ?? code.ToString()}");
            await Task.Delay(_reader.BackoffAfter(attempt), Time, cancellationToken).ConfigureAwait(false);
        }
    }

    public Task CommitAsync(CancellationToken cancellationToken = default)
    {
        RequireGroup();
        // Positions as of the call, not as of the time when the commit is sent.
        var positions = Positions();
        return positions.Length == 0 ? Task.CompletedTask : _committer.CommitAsync(() => positions, cancellationToken);
    }

    /// <inheritdoc/>
    public IReadOnlyList<ClaimedOffset> ToCommit()
    {
        RequireGroup();
        if (_options.AutoCommit)
            throw new InvalidOperationException("The consumer commits automatically, also what a transaction then aborts. Set "
                + "ConsumerOptions.AutoCommit to false.");
        ClaimedOffset[] positions;
        TopicPartition[] gone;
        // At once, so that a partition that is revoked meanwhile is in either.
        lock (_gate)
        {
            positions = [.. PositionsOf(_assigned.Values)];
            gone = [.. _goneUncommitted];
            _goneUncommitted.Clear();
        }
        if (gone.Length > 0)
            throw new CommitFencedException(ErrorCode.UnknownMemberId, gone);
        foreach (var (claim, offset) in positions)
            claim.TakenIntoTransaction(offset.Offset);
        return positions;
    }

    private ClaimedOffset[] Positions() => [.. PositionsOf(Claims())];

    private IEnumerable<ClaimedOffset> PositionsOf(IEnumerable<AssignedPartition> claims) =>
        claims.Select(claim => (Claim: claim, Offset: Position(claim))).Where(static item => item.Offset is not null)
            .Select(static item => new ClaimedOffset(item.Claim, item.Offset!));

    public Task CommitAsync(IEnumerable<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(offsets);
        RequireGroup();
        TopicPartitionOffset[] asked = [.. offsets];
        var gone = asked.Where(offset => Find(offset.Partition) is null).Select(static offset => offset.Partition).ToArray();
        if (gone.Length > 0)
            return Task.FromException(new CommitFencedException(ErrorCode.UnknownMemberId, gone));
        ClaimedOffset[] claimed = [.. asked.Select(offset => new ClaimedOffset(Claim(offset.Partition), offset))];
        foreach (var (claim, offset) in claimed)
            claim.MarkDone(offset);
        return claimed.Length == 0 ? Task.CompletedTask : _committer.CommitAsync(() => claimed, cancellationToken);
    }

    public void Commit(Action<Exception?>? callback = null)
    {
        var commit = CommitAsync(_stop.Token);
        _ = ReportAsync(commit, callback);
    }

    private async Task ReportAsync(Task commit, Action<Exception?>? callback)
    {
        Exception? failure = null;
        try
        {
            await commit.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            failure = e;
        }
        if (callback is not null)
            callback(failure);
        else if (failure is not null)
            LogCommitFailed(failure);
    }

    /// <summary>Commits what is done in these partitions. Failures are only logged: the next owners read those records again.</summary>
    private async Task CommitQuietlyAsync(IReadOnlyList<AssignedPartition> claims, CancellationToken cancellationToken)
    {
        try
        {
            await _committer.CommitAsync(() => [.. claims.Select(static claim => (Claim: claim, Offset: claim.ToCommit()))
                .Where(static item => item.Offset is not null).Select(static item => new ClaimedOffset(item.Claim, item.Offset!))],
                cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            LogCommitCut();
        }
        catch (Exception e)
        {
            // Whatever the broker has thrown: neither the next commit nor a revocation depends on this one.
            LogCommitFailed(e);
        }
    }

    private async Task AutoCommitAsync()
    {
        using var timer = new PeriodicTimer(_options.AutoCommitInterval, Time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
            {
                if (Claims() is { Count: > 0 } claims)
                    await CommitQuietlyAsync(claims, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Closed.
        }
    }

    private IReadOnlyList<AssignedPartition> Claims()
    {
        lock (_gate)
            return [.. _assigned.Values];
    }

    private void RequireGroup()
    {
        if (_options.GroupId is null)
            throw new InvalidOperationException("Without a group nothing is committed. Set ConsumerOptions.GroupId.");
    }

    [LoggerMessage(28, LogLevel.Warning, "Offsets were not committed; the records are read again.")]
    private partial void LogCommitFailed(Exception exception);

    [LoggerMessage(29, LogLevel.Warning, "The consumer ended before all offsets were committed; the records are read again.")]
    private partial void LogCommitCut();
}
