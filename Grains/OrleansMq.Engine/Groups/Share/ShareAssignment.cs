using System.Collections.Immutable;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Share;

/// <summary>
/// Assigns partitions to the members of a share group. Every partition of a subscribed topic whose start is known has a member, and every
/// subscriber has such a partition of each of its topics. With more partitions than members each partition has one member; with more
/// members than partitions each member has one partition. The numbers differ by at most one. Within that, members keep what they have. Pure
/// and deterministic.
/// </summary>
internal static class ShareAssignment
{
    /// <summary>The name under which descriptions show it.</summary>
    public const string Name = "simple";

    /// <summary>Returns the members with their new assignment.</summary>
    /// <param name="members">The members with their present one.</param>
    /// <param name="topics">The subscribed topics.</param>
    /// <param name="unstarted">The partitions whose start is not known, by topic.</param>
    public static ImmutableSortedDictionary<string, ShareMember> Assign(ImmutableSortedDictionary<string, ShareMember> members,
        ImmutableSortedDictionary<string, ConsumerTopic> topics, IReadOnlyDictionary<Guid, IReadOnlyList<int>> unstarted)
    {
        var assigned = members.Values.ToDictionary(member => member.MemberId, _ => new List<TopicIdPartition>(), StringComparer.Ordinal);
        foreach (var (name, topic) in topics)
        {
            // Partitions are given by their places among those that can be.
            int[] partitions = [.. Enumerable.Range(0, topic.Partitions).Except(unstarted.GetValueOrDefault(topic.TopicId) ?? [])];
            var readers = members.Values.Where(member => member.TopicNames.Contains(name))
                .Select(member => new Reader(assigned[member.MemberId].Count, [.. member.Assigned
                    .Where(partition => partition.TopicId == topic.TopicId)
                    .Select(partition => Array.BinarySearch(partitions, partition.Partition)).Where(static place => place >= 0)],
                    member.MemberId)).ToList();
            if (readers.Count == 0 || partitions.Length == 0)
                continue;
            if (readers.Count <= partitions.Length)
                Split(readers, partitions.Length);
            else
                Share(readers, partitions.Length);
            foreach (var reader in readers)
                assigned[reader.MemberId].AddRange(reader.Given.Select(place => new TopicIdPartition(topic.TopicId, partitions[place])));
        }
        var next = members.ToBuilder();
        foreach (var (memberId, partitions) in assigned)
        {
            var set = PartitionSet.Of(partitions);
            if (!set.Equals(next[memberId].Assigned))
                next[memberId] = next[memberId] with { Assigned = set };
        }
        return next.ToImmutable();
    }

    /// <summary>Gives each partition to one member.</summary>
    private static void Split(List<Reader> readers, int partitions)
    {
        var (each, more) = Math.DivRem(partitions, readers.Count);
        // Whoever has fewest of other topics gets one more; among equals, who has it already.
        var greedy = readers.OrderBy(static reader => reader.Others).ThenByDescending(reader => reader.Had.Length > each)
            .Take(more).ToHashSet();
        var isGiven = new bool[partitions];
        foreach (var reader in readers)
        {
            foreach (var partition in reader.Had)
            {
                if (!isGiven[partition] && reader.Given.Count < Quota(reader))
                    Give(reader, partition);
            }
        }
        var next = 0;
        foreach (var reader in readers)
        {
            while (reader.Given.Count < Quota(reader))
            {
                while (isGiven[next])
                    next++;
                Give(reader, next);
            }
        }

        int Quota(Reader reader) => greedy.Contains(reader) ? each + 1 : each;

        void Give(Reader reader, int partition)
        {
            isGiven[partition] = true;
            reader.Given.Add(partition);
        }
    }

    /// <summary>Gives each member one partition.</summary>
    private static void Share(List<Reader> readers, int partitions)
    {
        var (each, more) = Math.DivRem(readers.Count, partitions);
        var count = new int[partitions];
        Keep(each, partitions);
        Keep(each + 1, more);
        foreach (var reader in readers.Where(static reader => reader.Given.Count == 0))
        {
            var least = 0;
            for (var partition = 1; partition < partitions; partition++)
            {
                if (count[partition] < count[least])
                    least = partition;
            }
            Give(reader, least);
        }

        // Members keep a partition while it has fewer than so many; at most so many partitions come to have them.
        void Keep(int most, int left)
        {
            foreach (var reader in readers.Where(static reader => reader.Given.Count == 0))
            {
                var kept = reader.Had.FirstOrDefault(partition => count[partition] < most && (count[partition] < most - 1 || left > 0), -1);
                if (kept < 0)
                    continue;
                if (count[kept] == most - 1)
                    left--;
                Give(reader, kept);
            }
        }

        void Give(Reader reader, int partition)
        {
            count[partition]++;
            reader.Given.Add(partition);
        }
    }

    /// <summary>A member that reads a topic.</summary>
    /// <param name="Others">How many partitions of other topics it was given so far.</param>
    /// <param name="Had">The places of its present partitions.</param>
    /// <param name="MemberId">Its id.</param>
    private sealed record Reader(int Others, int[] Had, string MemberId)
    {
        public List<int> Given { get; } = [];
    }
}
