using OrleansMq.Api;

namespace OrleansMq.Groups;

/// <summary>Resets a group's offsets through a broker: looks up what <see cref="OffsetResets"/> needs, and commits the result.</summary>
internal sealed class GroupOffsetResets(IBroker broker, TimeProvider time)
{
    /// <summary>Concurrent lookups: enough to hide the latency to other brokers without flooding them.</summary>
    private const int AtATime = 16;

    /// <summary>Plans a reset. Nothing changes.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>: no target, or two;
    /// <see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.GroupIdNotFound"/>: no partition is given, and the group does
    /// not exist; <see cref="ErrorCode.CoordinatorNotAvailable"/>.</exception>
    public async ValueTask<OffsetResetPlan> PlanAsync(OffsetReset reset, CancellationToken cancellationToken = default)
    {
        Check(reset);
        var members = await CountMembersAsync(reset, cancellationToken).ConfigureAwait(false);
        var committed = await CommittedAsync(reset.GroupId, cancellationToken).ConfigureAwait(false);
        var chosen = await ChooseAsync(reset, committed.Keys, cancellationToken).ConfigureAwait(false);
        var planned = new PlannedReset[chosen.Count];
        await Parallel.ForEachAsync(Enumerable.Range(0, chosen.Count),
            new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = cancellationToken },
            async (i, cancelled) => planned[i] = await PlanAsync(chosen[i].Partition, chosen[i].TopicId,
                TargetOf(reset, chosen[i].Partition),
                committed.GetValueOrDefault(chosen[i].Partition), cancelled).ConfigureAwait(false)).ConfigureAwait(false);
        return new OffsetResetPlan(reset.GroupId, false, members, planned);
    }

    /// <summary>Plans a reset and executes it, completely or not at all.</summary>
    /// <exception cref="BrokerException">As <see cref="PlanAsync(OffsetReset, CancellationToken)"/>; <see cref="ErrorCode.NonEmptyGroup"/>:
    /// members would ignore the new offsets, stop them first; the error of a partition that is unavailable.</exception>
    public async ValueTask<OffsetResetPlan> ExecuteAsync(OffsetReset reset, CancellationToken cancellationToken = default)
    {
        var plan = await PlanAsync(reset, cancellationToken).ConfigureAwait(false);
        if (plan.Members > 0)
            throw HasMembers(reset.GroupId, plan.Members);
        if (plan.Partitions.FirstOrDefault(partition => partition.Error != ErrorCode.None) is { } failed)
            throw new BrokerException(failed.Error, $"Nothing was reset: {failed.Partition} is unavailable. {failed.Note}");
        var offsets = plan.Partitions.Where(partition => partition.Target is not null)
            .Select(partition => new PartitionOffset(partition.Partition.Topic, partition.Partition.Partition,
                new CommittedOffset(partition.Target!.Value), partition.TopicId))
            .ToArray();
        if (offsets.Length > 0)
            await CommitAsync(reset.GroupId, offsets, cancellationToken).ConfigureAwait(false);
        return plan with { Executed = true };
    }

    private async ValueTask CommitAsync(string groupId, PartitionOffset[] offsets, CancellationToken cancellationToken)
    {
        var result = await broker.Groups.CommitOffsetsAsync(new OffsetCommit { GroupId = groupId, Offsets = offsets },
            cancellationToken).ConfigureAwait(false);
        if (result.Partitions.FirstOrDefault(partition => partition.Error != ErrorCode.None) is not { } failed)
            return;
        // A member joined between the plan and its execution.
        if (failed.Error is ErrorCode.UnknownMemberId or ErrorCode.IllegalGeneration or ErrorCode.StaleMemberEpoch
            or ErrorCode.RebalanceInProgress)
            throw HasMembers(groupId, null);
        throw new BrokerException(failed.Error, result.Message
            ?? $"The offset of {failed.Topic}-{failed.Partition} could not be committed ({failed.Error}).");
    }

    private async ValueTask<PlannedReset> PlanAsync(TopicPartition partition, Guid topicId, OffsetTarget target, long? committed,
        CancellationToken cancellationToken)
    {
        var earliest = await broker.FindOffsetAsync(partition, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false);
        if (earliest.Error != ErrorCode.None)
            return Unknown(earliest);
        var latest = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        if (latest.Error != ErrorCode.None)
            return Unknown(latest);
        var atTime = new OffsetResult(ErrorCode.None, -1);
        if (target.TimeToFind(time.GetUtcNow()) is { } timestamp)
            atTime = await broker.FindOffsetAsync(partition, OffsetSpec.AtOrAfter(timestamp), cancellationToken).ConfigureAwait(false);
        return atTime.Error != ErrorCode.None
            ? Unknown(atTime)
            : OffsetResets.Plan(new ResetPosition(partition, topicId, committed, earliest.Offset, latest.Offset, atTime.Offset), target);

        PlannedReset Unknown(OffsetResult result) =>
            new(partition, topicId, committed, null, result.Message ?? result.Error.ToString(), result.Error);
    }

    private async ValueTask<int> CountMembersAsync(OffsetReset reset, CancellationToken cancellationToken)
    {
        try
        {
            return (await broker.Groups.DescribeGroupAsync(reset.GroupId, cancellationToken).ConfigureAwait(false)).Members.Count;
        }
        catch (BrokerException e)
            when (e.Code == ErrorCode.GroupIdNotFound && (reset.Topics ?? (object?)reset.Partitions ?? reset.Offsets) is not null)
        {
            // Offsets of a group may be set before its first member joins.
            return 0;
        }
    }

    private async ValueTask<Dictionary<TopicPartition, long?>> CommittedAsync(string groupId, CancellationToken cancellationToken)
    {
        var fetched = await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = groupId }, cancellationToken).ConfigureAwait(false);
        if (fetched.Error is not (ErrorCode.None or ErrorCode.GroupIdNotFound))
            throw new BrokerException(fetched.Error, fetched.Message
                ?? $"The offsets of group '{groupId}' cannot be read ({fetched.Error}).");
        return fetched.Partitions.Where(partition => partition.Offset is not null)
            .ToDictionary(partition => partition.Partition, partition => (long?)partition.Offset!.Offset);
    }

    /// <summary>Returns the partitions to reset, ordered by topic and number, with their topic ids.</summary>
    private async ValueTask<List<(TopicPartition Partition, Guid TopicId)>> ChooseAsync(OffsetReset reset,
        IEnumerable<TopicPartition> committed, CancellationToken cancellationToken)
    {
        var named = reset.Offsets?.Keys ?? reset.Partitions ?? (reset.Topics is null ? committed : []);
        var byTopic = named.ToLookup(partition => partition.Topic, partition => partition.Partition, StringComparer.Ordinal);
        var chosen = new List<(TopicPartition, Guid)>();
        foreach (var topic in byTopic.Select(group => group.Key).Concat(reset.Topics ?? []).Distinct(StringComparer.Ordinal)
            .Order(StringComparer.Ordinal))
        {
            var listing = await broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
            var whole = reset.Topics?.Contains(topic, StringComparer.Ordinal) == true;
            foreach (var number in whole ? Enumerable.Range(0, listing.Partitions) : byTopic[topic].Distinct().Order())
            {
                if (number < 0 || number >= listing.Partitions)
                    throw new BrokerException(ErrorCode.UnknownTopicOrPartition,
                        $"Topic '{topic}' has no partition {number}: its partitions are 0 to {listing.Partitions - 1}.");
                chosen.Add((new TopicPartition(topic, number), listing.TopicId));
            }
        }
        return chosen;
    }

    private static void Check(OffsetReset reset)
    {
        if (reset.Target is null == reset.Offsets is null)
            throw new BrokerException(ErrorCode.InvalidRequest,
                "A reset has one target for all its partitions, or an offset for each of them.");
        var fault = reset.Target?.Fault ?? reset.Offsets?.Values.Select(offset => OffsetTarget.ToOffset(offset).Fault)
            .FirstOrDefault(found => found is not null);
        if (fault is not null)
            throw new BrokerException(ErrorCode.InvalidRequest, fault);
    }

    private static OffsetTarget TargetOf(OffsetReset reset, TopicPartition partition) =>
        reset.Target ?? OffsetTarget.ToOffset(reset.Offsets![partition]);

    private static BrokerException HasMembers(string groupId, int? count) => new(ErrorCode.NonEmptyGroup,
        $"Group '{groupId}' has {count switch { null => "members", 1 => "1 member", _ => $"{count} members" }}, so nothing was reset: "
        + "members go on from where they are. Stop its consumers first; one that crashed is forgotten when its session ends.");
}
