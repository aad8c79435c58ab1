using FsCheck.Fluent;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Engine.Groups.Assignment;

public class AssignorPropertyTests
{
    private static readonly IAssignor[] Everyone = [.. ClientAssignors.All, .. ServerAssignors.All];
    private static readonly IAssignor[] Balanced = [new StickyAssignor(), new UniformAssignor()];

    [Fact]
    public void Subscribed_partition_is_assigned_to_exactly_one_subscriber()
    {
        Properties.ForAll(RandomGroup.Any, group =>
        {
            foreach (var assignor in Everyone.Where(assignor => assignor is not CooperativeStickyAssignor))
            {
                var assignment = assignor.Assign(group.Members, group.Topics);
                AssertValid(group, assignment);
                var given = assignment.Values.SelectMany(list => list).ToHashSet();
                Assert.Equal(group.Partitions.Where(partition => group.Eligible(partition.Topic).Any()).ToHashSet(), given);
            }
        });
    }

    [Fact]
    public void Order_of_members_and_topics_does_not_matter()
    {
        Properties.ForAll(RandomGroup.Any, group =>
        {
            foreach (var assignor in Everyone)
            {
                var expected = Text(assignor.Assign(group.Members, group.Topics));
                var shuffled = group.Shuffled(17);
                Assert.Equal(expected, Text(assignor.Assign(shuffled.Members, shuffled.Topics)));
            }
        });
    }

    [Fact]
    public void Assignment_is_as_balanced_as_possible()
    {
        Properties.ForAll(RandomGroup.Any, group =>
        {
            foreach (var assignor in Balanced)
                AssertNoChainEvens(group, assignor.Assign(group.Members, group.Topics));
        });
    }

    [Fact]
    public void Equal_subscriptions_differ_by_at_most_one_partition()
    {
        Properties.ForAll(RandomGroup.Homogeneous, group =>
        {
            foreach (var assignor in Balanced.Append(new RoundRobinAssignor()))
            {
                var loads = assignor.Assign(group.Members, group.Topics).Values.Select(list => list.Count).ToList();
                Assert.InRange(loads.Max() - loads.Min(), 0, 1);
            }
        });
    }

    [Fact]
    public void Equal_subscriptions_move_no_more_partitions_than_necessary()
    {
        Properties.ForAll(RandomGroup.Homogeneous, group =>
        {
            var problem = new AssignmentProblem(group.Members, group.Topics);
            var held = problem.Members.Select((_, member) => problem.Owner.Count(owner => owner == member)).OrderDescending().ToList();
            var (each, more) = Math.DivRem(problem.PartitionCount, held.Count);
            var mayKeep = held.Select((count, place) => Math.Min(count, each + (place < more ? 1 : 0))).Sum();
            foreach (var assignor in Balanced)
            {
                var assignment = assignor.Assign(group.Members, group.Topics);
                var kept = Enumerable.Range(0, problem.PartitionCount).Count(partition => problem.Owner[partition] != AssignmentProblem.None
                    && assignment[problem.Members[problem.Owner[partition]].MemberId].Contains(problem.Name(partition)));
                Assert.Equal(mayKeep, kept);
            }
        });
    }

    [Fact]
    public void Balanced_assignment_stays_unchanged()
    {
        Properties.ForAll(RandomGroup.Any, group =>
        {
            foreach (var assignor in Everyone.Where(assignor => assignor is not CooperativeStickyAssignor))
            {
                var first = assignor.Assign(group.Members, group.Topics);
                var again = group.Holding(first, generation: 5);
                Assert.Equal(Text(first), Text(assignor.Assign(again.Members, again.Topics)));
            }
        });
    }

    [Fact]
    public void Leaving_member_takes_partitions_from_no_other()
    {
        Properties.ForAll(RandomGroup.Homogeneous.Where(group => group.Members.Count > 1), group =>
        {
            foreach (var assignor in Balanced)
            {
                var before = assignor.Assign(group.Members, group.Topics);
                var held = group.Holding(before, generation: 5);
                var after = assignor.Assign([.. held.Members.Skip(1)], held.Topics);
                Assert.All(after, member => Assert.Subset(member.Value.ToHashSet(), before[member.Key].ToHashSet()));
            }
        });
    }

    [Fact]
    public void Cooperative_assignment_gives_out_no_partition_still_owned()
    {
        Properties.ForAll(RandomGroup.Any, group =>
        {
            var assignment = new CooperativeStickyAssignor().Assign(group.Members, group.Topics);
            AssertValid(group, assignment);
            foreach (var member in group.Members)
            {
                foreach (var partition in assignment[member.MemberId])
                {
                    var others = group.Members.Where(other => other.MemberId != member.MemberId && other.Owned.Contains(partition))
                        .ToList();
                    Assert.All(others, other => Assert.True(member.Owned.Contains(partition)
                        && (member.Generation > other.Generation || !other.Topics.Contains(partition.Topic)),
                        $"{partition} is {other.MemberId}'s, not {member.MemberId}'s"));
                }
            }
        });
    }

    [Fact]
    public void Cooperative_assignment_reaches_the_sticky_one_in_two_rounds()
    {
        Properties.ForAll(RandomGroup.Any, group =>
        {
            var assignor = new CooperativeStickyAssignor();
            var first = assignor.Assign(group.Members, group.Topics);
            // Every member now owns exactly its assignment: members with more have revoked the rest and rejoined.
            var second = group.Holding(first, generation: 7);
            var end = assignor.Assign(second.Members, second.Topics);
            Assert.All(end, member => Assert.Subset(member.Value.ToHashSet(), first[member.Key].ToHashSet()));
            Assert.Equal(group.Partitions.Where(partition => group.Eligible(partition.Topic).Any()).ToHashSet(),
                end.Values.SelectMany(list => list).ToHashSet());
            AssertNoChainEvens(group, end);
        });
    }

    [Fact]
    public void Range_assignment_is_even_in_each_topic_and_splits_topics_alike()
    {
        Properties.ForAll(RandomGroup.Any, group =>
        {
            foreach (var assignor in new IAssignor[] { new RangeAssignor(), new StickyRangeAssignor() })
            {
                var assignment = assignor.Assign(group.Members, group.Topics);
                foreach (var topic in group.Topics.Where(topic => group.Eligible(topic.Name).Any()))
                {
                    var loads = group.Eligible(topic.Name)
                        .Select(member => assignment[member.MemberId].Count(partition => partition.Topic == topic.Name)).ToList();
                    Assert.InRange(loads.Max() - loads.Min(), 0, 1);
                    foreach (var alike in group.Topics.Where(other => other.PartitionCount == topic.PartitionCount
                        && group.Eligible(other.Name).SequenceEqual(group.Eligible(topic.Name))))
                    {
                        Assert.All(assignment.Values, list => Assert.Equal(
                            list.Where(partition => partition.Topic == topic.Name).Select(partition => partition.Partition),
                            list.Where(partition => partition.Topic == alike.Name).Select(partition => partition.Partition)));
                    }
                }
            }
        });
    }

    /// <summary>Follows every chain of members that could pass partitions on, by an independent search over members instead of
    /// classes.</summary>
    private static void AssertNoChainEvens(RandomGroup group, IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> assignment)
    {
        foreach (var start in group.Members)
        {
            var reached = new HashSet<string> { start.MemberId };
            var next = new Queue<string>(reached);
            while (next.TryDequeue(out var from))
            {
                var topics = assignment[from].Select(partition => partition.Topic).ToHashSet();
                foreach (var to in group.Members.Where(member => member.Topics.Any(topics.Contains) && reached.Add(member.MemberId)))
                {
                    Assert.True(assignment[to.MemberId].Count >= assignment[start.MemberId].Count - 1,
                        $"{start.MemberId} could give to {to.MemberId}: {Text(assignment)}");
                    next.Enqueue(to.MemberId);
                }
            }
        }
    }

    private static void AssertValid(RandomGroup group, IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> assignment)
    {
        Assert.Equal(group.Members.Select(member => member.MemberId).Order(), assignment.Keys.Order());
        var all = assignment.Values.SelectMany(list => list).ToList();
        Assert.Equal(all.Count, all.Distinct().Count());
        Assert.Subset(group.Partitions.ToHashSet(), all.ToHashSet());
        Assert.All(group.Members,
            member => Assert.All(assignment[member.MemberId], partition => Assert.Contains(partition.Topic, member.Topics)));
    }

    private static string Text(IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> assignment) =>
        string.Join('\n', assignment.OrderBy(member => member.Key, StringComparer.Ordinal)
            .Select(member => $"{member.Key}: {string.Join(' ', member.Value)}"));
}
