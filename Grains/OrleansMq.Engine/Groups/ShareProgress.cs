using OrleansMq.Api;

namespace OrleansMq.Groups;

/// <summary>Finds where share groups are in their partitions, for operators. The leader of each partition is asked.</summary>
/// <param name="broker">The broker to query.</param>
internal sealed class ShareProgress(IBroker broker)
{
    // Calls at a time: enough to hide the latency to other brokers without flooding them.
    private const int AtATime = 16;

    /// <summary>Returns where a group is in every partition of the topics that it reads, ordered by topic and number.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>: there is no such share group;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    public async ValueTask<IReadOnlyList<SharePartition>> OfAsync(string groupId, CancellationToken cancellationToken = default)
    {
        var group = await broker.Groups.DescribeGroupAsync(groupId, cancellationToken).ConfigureAwait(false);
        var found = await broker.Groups.SendAsync(new FindShareCursors(groupId), cancellationToken).ConfigureAwait(false);
        if (found.Error != ErrorCode.None)
            throw new BrokerException(found.Error, found.Message ?? $"Share group '{groupId}' cannot be read ({found.Error}).");
        var topics = await broker.ListTopicsAsync(cancellationToken).ConfigureAwait(false);
        var members = group.Members.SelectMany(static member => member.Assignment, static (member, partition) => (member, partition))
            .ToLookup(static one => one.partition, static one => one.member.MemberId);
        var partitions = (from topic in topics.OrderBy(static topic => topic.Name, StringComparer.Ordinal)
                          let cursors = found.Topics.FirstOrDefault(cursors => cursors.TopicId == topic.TopicId)
                          where cursors is not null
                          from number in Enumerable.Range(0, topic.Partitions)
                          select (Name: new TopicPartition(topic.Name, number), Cursors: cursors)).ToArray();
        var progress = new SharePartition[partitions.Length];
        await Parallel.ForAsync(0, partitions.Length,
            new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = cancellationToken },
            async (index, cancelled) => progress[index] = await FindAsync(broker, groupId, partitions[index].Name,
                partitions[index].Cursors, cancelled).ConfigureAwait(false) with
            {
                MemberIds = [.. members[partitions[index].Name].Order(StringComparer.Ordinal)],
            }).ConfigureAwait(false);
        return progress;
    }

    /// <summary>Returns where a group is in a partition, without its members. A partition that it has not begun with is no error.</summary>
    /// <param name="broker">The broker to query.</param>
    /// <param name="groupId">The group.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="cursors">What the group's coordinator says of the topic.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async ValueTask<SharePartition> FindAsync(IBroker broker, string groupId, TopicPartition partition,
        ShareTopicCursors cursors, CancellationToken cancellationToken)
    {
        var begins = cursors.FindReset(partition.Partition);
        try
        {
            if (await broker.Queues.DescribeShareAsync(partition, groupId, cancellationToken).ConfigureAwait(false) is { } cursor
                && cursor.Id == (begins?.Incarnation ?? cursors.Incarnation))
                return new SharePartition(partition, cursor.Floor, cursor.Held, cursor.Unsettled)
                {
                    Accepted = cursor.Accepted,
                    Rejected = cursor.Rejected,
                    DeadLettered = cursor.DeadLettered,
                };
            if (begins is null)
                return new SharePartition(partition, null, null, null);
            var end = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
            return end.Error == ErrorCode.None
                ? new SharePartition(partition, begins.StartOffset, 0, Math.Max(end.Offset - begins.StartOffset, 0))
                : new SharePartition(partition, begins.StartOffset, null, null) { Error = end.Error, Message = end.Message };
        }
        catch (BrokerException refused)
        {
            return new SharePartition(partition, null, null, null) { Error = refused.Code, Message = refused.Message };
        }
    }
}
