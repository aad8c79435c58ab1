using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>An offset to commit with a transaction.</summary>
/// <param name="Offset">The offset.</param>
/// <param name="Claim">The assignment under which it was reached; null if unknown.</param>
internal readonly record struct TransactionOffset(TopicPartitionOffset Offset, AssignedPartition? Claim);

/// <summary>A consumer whose positions a transaction can commit.</summary>
internal interface IConsumedPositions
{
    /// <summary>Returns the positions of all partitions, including the last record handed out.</summary>
    /// <exception cref="InvalidOperationException">The consumer has no group, or commits automatically.</exception>
    IReadOnlyList<ClaimedOffset> ToCommit();
}

/// <summary>Sends the offsets of a transaction to their group. A member whose generation changes meanwhile sends again under the new one,
/// as
/// long as its partitions are still assigned to it.</summary>
internal sealed class OffsetSending(TransactionCoordination coordination, BrokerTransaction transaction, string group, long number,
    Func<ConsumerGroupMetadata> member, IReadOnlyList<TransactionOffset> offsets)
{
    private bool IsClaimed => offsets.All(static offset => offset.Claim is not null);

    /// <summary>Sends until the group answers.</summary>
    /// <exception cref="CommitFencedException">Partitions are assigned to another member by now.</exception>
    /// <exception cref="TransactionException">The offsets are not taken.</exception>
    public async Task SendAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            // First the member, then its partitions: a member that has lost them has another generation by then.
            var who = member();
            RequireClaims();
            var (error, message, _) = await coordination.RetryAsync(cancelled => SendOnceAsync(who, cancelled), cancellationToken)
                .ConfigureAwait(false);
            if (error == ErrorCode.None)
                return;
            var isFenced = error == ErrorCode.StaleMemberEpoch || OffsetCommitter.Judge(error) == CommitOutcome.Fenced;
            if (isFenced && IsClaimed && member() != who)
                continue;
            if (isFenced)
                throw new CommitFencedException(error, [.. offsets.Select(static offset => offset.Offset.Partition)]);
            throw coordination.ExceptionOf(error, message, $"Its offsets of group '{group}' were not taken");
        }
    }

    private async Task<(ErrorCode Error, string? Message)> SendOnceAsync(ConsumerGroupMetadata who, CancellationToken cancellationToken)
    {
        // Under another generation the answer is final: the caller looks it up again.
        if (IsClaimed && member() != who)
            return (ErrorCode.IllegalGeneration, null);
        RequireClaims();
        var result = await coordination.Broker.Groups.SendAsync(new TransactionOffsetCommit
        {
            GroupId = group,
            TransactionalId = coordination.TransactionalId,
            Producer = transaction.Identity,
            Number = number,
            GenerationIdOrMemberEpoch = who.GenerationIdOrMemberEpoch,
            MemberId = who.MemberId,
            GroupInstanceId = who.MemberId.Length > 0 ? who.GroupInstanceId : null,
            Offsets = [.. offsets.Select(static item => new PartitionOffset(item.Offset.Partition.Topic, item.Offset.Partition.Partition,
                new CommittedOffset(item.Offset.Offset, item.Offset.LeaderEpoch, item.Offset.Metadata),
                item.Claim?.TopicId ?? Guid.Empty))],
        }, cancellationToken).ConfigureAwait(false);
        // All or nothing: offsets of partitions that are left out of a commit would be lost with their records' effects in force.
        for (var i = 0; i < result.Partitions.Count; i++)
        {
            var error = result.Partitions[i].Error;
            if (error != ErrorCode.None && !(error == ErrorCode.UnknownTopicId && offsets[i].Claim is { } claim
                && await IsDeletedAsync(offsets[i].Offset.Partition.Topic, claim.TopicId, cancellationToken).ConfigureAwait(false)))
                return (error, result.Message);
        }
        return (ErrorCode.None, result.Message);
    }

    // A deleted topic is never read again. Of one that is there, the coordinator's image is behind: it knows the id later.
    private async Task<bool> IsDeletedAsync(string topic, Guid topicId, CancellationToken cancellationToken) =>
        await coordination.Broker.FindByIdAsync(topic, topicId, cancellationToken).ConfigureAwait(false) is null;

    private void RequireClaims()
    {
        TopicPartition[] gone =
            [.. offsets.Where(static offset => offset.Claim is { IsGone: true }).Select(static offset => offset.Offset.Partition)];
        if (gone.Length > 0)
            throw new CommitFencedException(ErrorCode.UnknownMemberId, gone);
    }
}
