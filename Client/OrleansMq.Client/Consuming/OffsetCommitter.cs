using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>An offset, and the assignment under which it was reached.</summary>
internal readonly record struct ClaimedOffset(AssignedPartition Claim, TopicPartitionOffset Offset);

/// <summary>The result of committing one offset.</summary>
internal enum CommitOutcome
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>It is stored.</summary>
    Stored = 1,
    /// <summary>Send it again.</summary>
    Retry = 2,
    /// <summary>The partition is assigned to another member.</summary>
    Fenced = 3,
    /// <summary>It can never be stored.</summary>
    Refused = 4,
}

/// <summary>Commits offsets, one request at a time, so that a committed offset never moves back. Retries retriable errors. Skips partitions
/// whose assignment has ended.</summary>
internal sealed partial class OffsetCommitter(IGroupCoordinator groups, ConsumerOptions options, ReaderOptions reader,
    Func<ConsumerGroupMetadata> member, ILogger logger)
{
    private readonly SemaphoreSlim _turn = new(1);

    /// <summary>Maps an error code to an outcome.</summary>
    public static CommitOutcome Judge(ErrorCode code) => code switch
    {
        ErrorCode.None => CommitOutcome.Stored,
        ErrorCode.UnknownMemberId or ErrorCode.FencedMemberEpoch or ErrorCode.IllegalGeneration or ErrorCode.FencedInstanceId =>
            CommitOutcome.Fenced,
        // An id that the coordinator does not know belongs to a deleted topic, which is never read again.
        ErrorCode.UnknownTopicId or ErrorCode.UnknownTopicOrPartition => CommitOutcome.Refused,
        _ => code.Action() == ErrorAction.Retry ? CommitOutcome.Retry : CommitOutcome.Refused,
    };

    /// <summary>Commits the offsets that <paramref name="collect"/> returns when the request is sent.</summary>
    /// <exception cref="CommitFencedException">Some partitions are no longer assigned to the consumer; the others are
    /// committed.</exception>
    /// <exception cref="CommitException">Some offsets were rejected, or the time limit has passed.</exception>
    public async Task CommitAsync(Func<IReadOnlyList<ClaimedOffset>> collect, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await SendAsync([.. collect()], cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task SendAsync(List<ClaimedOffset> open, CancellationToken cancellationToken)
    {
        var groupId = options.GroupId
            ?? throw new InvalidOperationException("Offsets cannot be committed without a group. Set ConsumerOptions.GroupId.");
        var since = reader.TimeProvider.GetTimestamp();
        var failures = new CommitFailures();
        for (var attempt = 1; ; attempt++)
        {
            failures.TakeGone(open);
            if (open.Count == 0)
                break;
            var (code, message) = await SendOnceAsync(groupId, open, failures, cancellationToken).ConfigureAwait(false);
            if (open.Count == 0)
                break;
            if (reader.TimeProvider.GetElapsedTime(since) >= options.CommitTimeout)
            {
                failures.Add(open, code,
                    $"{message ?? code.ToString()}; gave up after {options.CommitTimeout.TotalSeconds:0.#} s. Commit again later.");
                break;
            }
            var wait = reader.BackoffAfter(attempt);
            LogRetry(groupId, open.Count, code, wait, message);
            await Task.Delay(wait, reader.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        failures.ThrowIfAny(groupId);
    }

    /// <summary>Sends the open offsets once and removes those that are stored or have failed permanently. Returns the error of the
    /// others.</summary>
    private async Task<(ErrorCode Code, string? Message)> SendOnceAsync(string groupId, List<ClaimedOffset> open, CommitFailures failures,
        CancellationToken cancellationToken)
    {
        var who = member();
        var request = new OffsetCommit
        {
            GroupId = groupId,
            GenerationIdOrMemberEpoch = who.GenerationIdOrMemberEpoch,
            MemberId = who.MemberId,
            GroupInstanceId = who.MemberId.Length > 0 ? who.GroupInstanceId : null,
            Offsets = [.. open.Select(static item => new PartitionOffset(item.Claim.Partition.Topic, item.Claim.Partition.Partition,
                new CommittedOffset(item.Offset.Offset, item.Offset.LeaderEpoch, item.Offset.Metadata), item.Claim.TopicId))],
        };
        OffsetCommitResult result;
        try
        {
            result = await groups.CommitOffsetsAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            return (e.Code, e.Message);
        }
        catch (BrokerException e)
        {
            failures.Add(open, e.Code, e.Message);
            open.Clear();
            return (e.Code, e.Message);
        }
        var retried = ErrorCode.None;
        for (var i = result.Partitions.Count - 1; i >= 0; i--)
        {
            var code = result.Partitions[i].Error;
            var item = open[i];
            switch (Judge(code))
            {
                case CommitOutcome.Stored:
                    item.Claim.Committed(item.Offset.Offset);
                    break;
                case CommitOutcome.Retry:
                // The generation changed during the commit, and the partition is still assigned to the consumer in the new one.
                case CommitOutcome.Fenced when member() != who && !item.Claim.IsGone:
                    retried = code;
                    continue;
                default:
                    failures.Add([item], code, result.Message);
                    break;
            }
            open.RemoveAt(i);
        }
        return (retried, result.Message);
    }

    [LoggerMessage(20, LogLevel.Warning, "Group {Group}: offsets of {Partitions} partitions are not committed yet: {Code}; retrying in "
        + "{Wait}. {Reason}")]
    private partial void LogRetry(string group, int partitions, ErrorCode code, TimeSpan wait, string? reason);

    /// <summary>Collects the offsets that could not be committed.</summary>
    private sealed class CommitFailures
    {
        private readonly List<TopicPartition> _fenced = [];
        private readonly List<TopicPartition> _refused = [];
        private ErrorCode _fencedBy;
        private ErrorCode _refusedBy;
        private string? _message;

        public void TakeGone(List<ClaimedOffset> open) => open.RemoveAll(item =>
        {
            if (item.Claim.IsGone)
                Add([item], ErrorCode.UnknownMemberId, null);
            return item.Claim.IsGone;
        });

        public void Add(IReadOnlyList<ClaimedOffset> items, ErrorCode code, string? message)
        {
            var isFenced = Judge(code) == CommitOutcome.Fenced;
            (isFenced ? _fenced : _refused).AddRange(items.Select(static item => item.Claim.Partition));
            if (isFenced)
                _fencedBy = code;
            else
                (_refusedBy, _message) = (code, message);
        }

        public void ThrowIfAny(string groupId)
        {
            if (_fenced.Count > 0)
                throw new CommitFencedException(_fencedBy, _fenced);
            if (_refused.Count > 0)
                throw new CommitException(_refusedBy, _refused,
                    $"Group '{groupId}': the offsets of {string.Join(", ", _refused)} were not committed: "
                    + $"{_message ?? _refusedBy.ToString()}");
        }
    }
}
