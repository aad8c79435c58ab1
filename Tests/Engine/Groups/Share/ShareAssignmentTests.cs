using System.Collections.Immutable;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Share;

namespace OrleansMq.Tests.Engine.Groups.Share;

/// <summary>Assignments of random share groups, each made from the one before, have every property.</summary>
public sealed class ShareAssignmentTests
{
    private static readonly string[] Names = ["a", "b", "c"];
    private static readonly Dictionary<Guid, IReadOnlyList<int>> AllStarted = [];

    [Fact]
    public void Every_assignment_covers_all_is_balanced_and_deterministic()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            var members = ImmutableSortedDictionary.Create<string, ShareMember>(StringComparer.Ordinal);
            var topics = ImmutableSortedDictionary.Create<string, ConsumerTopic>(StringComparer.Ordinal);
            foreach (var name in Names)
                topics = topics.Add(name, new ConsumerTopic(new Guid(name[0], 0, 0, new byte[8]), random.Next(1, 8)));
            for (var step = 0; step < 12; step++)
            {
                (members, topics) = Change(random, members, topics);
                var unstarted = topics.Values.ToDictionary(static topic => topic.TopicId, topic => Unstarted(random, topic));
                members = ShareAssignment.Assign(members, topics, unstarted);
                foreach (var (name, topic) in topics)
                    Check(members, name, topic, unstarted[topic.TopicId]);
                var again = ShareAssignment.Assign(members, topics, unstarted);
                Assert.True(members.Values.All(member => ReferenceEquals(again[member.MemberId], member)), $"seed {seed} is not stable");
            }
        }
    }

    [Fact]
    public void Member_that_leaves_moves_only_its_own_partitions()
    {
        var topics = ImmutableSortedDictionary.Create<string, ConsumerTopic>(StringComparer.Ordinal)
            .Add("a", new ConsumerTopic(new Guid(1, 0, 0, new byte[8]), 6));
        var members = ImmutableSortedDictionary.Create<string, ShareMember>(StringComparer.Ordinal);
        foreach (var id in new[] { "x", "y", "z" })
            members = members.Add(id, new ShareMember { MemberId = id, TopicNames = ["a"] });
        var before = ShareAssignment.Assign(members, topics, AllStarted);
        var after = ShareAssignment.Assign(before.Remove("y"), topics, AllStarted);
        foreach (var member in after.Values)
            Assert.True(before[member.MemberId].Assigned.IsSubsetOf(member.Assigned), member.MemberId);
    }

    private static IReadOnlyList<int> Unstarted(Random random, ConsumerTopic topic) => random.Next(3) > 0 ? []
        : [.. Enumerable.Range(0, topic.Partitions).Where(_ => random.Next(3) == 0)];

    private static (ImmutableSortedDictionary<string, ShareMember>, ImmutableSortedDictionary<string, ConsumerTopic>) Change(Random random,
        ImmutableSortedDictionary<string, ShareMember> members, ImmutableSortedDictionary<string, ConsumerTopic> topics)
    {
        var id = $"m{random.Next(12):00}";
        var name = Names[random.Next(Names.Length)];
        switch (random.Next(4))
        {
            case 0:
                return (members.Remove(id), topics);
            case 1:
                return (members, topics.SetItem(name, topics[name] with { Partitions = topics[name].Partitions + 1 }));
            default:
                var member = members.GetValueOrDefault(id) ?? new ShareMember { MemberId = id };
                return (members.SetItem(id, member with { TopicNames = [.. Names.Where(_ => random.Next(3) > 0)] }), topics);
        }
    }

    private static void Check(ImmutableSortedDictionary<string, ShareMember> members, string name, ConsumerTopic topic,
        IReadOnlyList<int> unstarted)
    {
        var readers = members.Values.Where(member => member.TopicNames.Contains(name)).ToArray();
        var others = members.Values.Except(readers);
        Assert.All(others, member => Assert.Empty(Of(member)));
        if (readers.Length == 0)
            return;
        Assert.All(readers, member => Assert.Empty(Of(member).Intersect(unstarted)));
        int[] started = [.. Enumerable.Range(0, topic.Partitions).Except(unstarted)];
        if (started.Length == 0)
            return;
        var counts = readers.Select(member => Of(member).Length).ToArray();
        var holders = started.Select(partition => readers.Count(member => Of(member).Contains(partition))).ToArray();
        Assert.True(counts.Min() >= 1 && counts.Max() - counts.Min() <= 1, $"members of {name} have {string.Join(' ', counts)}");
        Assert.True(holders.Min() >= 1 && holders.Max() - holders.Min() <= 1, $"partitions of {name} have {string.Join(' ', holders)}");
        Assert.Equal(Math.Max(readers.Length, started.Length), holders.Sum());

        int[] Of(ShareMember member) => [.. member.Assigned.Where(partition => partition.TopicId == topic.TopicId)
            .Select(static partition => partition.Partition)];
    }
}
