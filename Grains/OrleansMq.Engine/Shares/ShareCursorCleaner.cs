using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;

namespace OrleansMq.Shares;

/// <summary>
/// Removes the cursors of share groups that were deleted, and of topics that were deleted from a group, where their partitions are led. A
/// cursor's incarnation is stored in the group's document before a leader begins with it. So a leader names its cursors first, and asks the
/// coordinator then: what the confirmed answer does not know has ended.
/// </summary>
/// <param name="local">The partitions of this process.</param>
/// <param name="groups">The coordinators.</param>
internal sealed class ShareCursorCleaner(ILocalPartitions local, IGroupCoordinator groups)
{
    /// <summary>Looks at every partition once.</summary>
    /// <returns>The number of cursors that were removed.</returns>
    public async Task<int> RunAsync(CancellationToken cancellationToken = default)
    {
        var cursors = new List<(Partition Partition, string GroupId, Guid Incarnation)>();
        foreach (var partition in local.Held)
        {
            if (partition.Log is { State.Cursors.IsUsed: true } && partition.Replication.Leadership is not null)
                cursors.AddRange(await FindAsync(partition).ConfigureAwait(false));
        }
        var removed = 0;
        foreach (var group in cursors.GroupBy(static cursor => cursor.GroupId, StringComparer.Ordinal))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (await DescribeAsync(group.Key, cancellationToken).ConfigureAwait(false) is not { } known)
                continue;
            foreach (var (partition, groupId, incarnation) in group)
            {
                if (IsKnown(known, partition, incarnation))
                    continue;
                var answer = await partition.Cursors.RemoveAsync(ShareReader.CursorOf(groupId), incarnation).ConfigureAwait(false);
                removed += answer.Outcome == CursorOutcome.Done ? 1 : 0;
            }
        }
        return removed;
    }

    private static async Task<IReadOnlyList<(Partition, string, Guid)>> FindAsync(Partition partition)
    {
        try
        {
            return await partition.Cursors.AskAsync(term => term.Cursors.Where(static cursor => cursor.Cursor.State is not null
                    && QueueConfigurations.ShareOf(cursor.Name) is not null)
                .Select(cursor => (partition, QueueConfigurations.ShareOf(cursor.Name)!, cursor.Cursor.State!.Incarnation)).ToArray())
                .ConfigureAwait(false);
        }
        catch (BrokerException)
        {
            // Its new leader looks at them.
            return [];
        }
    }

    // Null: the coordinator does not answer now.
    private async Task<IReadOnlyList<ShareTopicCursors>?> DescribeAsync(string groupId, CancellationToken cancellationToken)
    {
        try
        {
            var found = await groups.SendAsync(new FindShareCursors(groupId), cancellationToken).ConfigureAwait(false);
            // The id of a deleted group may belong to consumers now.
            return found.Error == ErrorCode.None ? found.Topics : found.Error == ErrorCode.GroupIdNotFound ? [] : null;
        }
        catch (BrokerException)
        {
            return null;
        }
    }

    private static bool IsKnown(IReadOnlyList<ShareTopicCursors> known, Partition partition, Guid incarnation) =>
        known.FirstOrDefault(cursors => cursors.TopicId == partition.TopicId) is { } cursors
            && incarnation == (cursors.FindReset(partition.TopicPartition.Partition)?.Incarnation ?? cursors.Incarnation);
}
