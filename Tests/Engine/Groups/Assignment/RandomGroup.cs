using FsCheck;
using FsCheck.Fluent;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Engine.Groups.Assignment;

/// <summary>A random group: different subscriptions, contradictory claims, vanished partitions, racks.</summary>
internal sealed record RandomGroup(IReadOnlyList<AssignmentMember> Members, IReadOnlyList<AssignmentTopic> Topics)
{
    private static readonly string[] Racks = ["r1", "r2", "r3"];

    /// <summary>Groups in which every member subscribes to every topic.</summary>
    public static Gen<RandomGroup> Homogeneous { get; } = Gen.Choose(1, int.MaxValue).Select(seed => Make(new Random(seed), alike: true));

    /// <summary>Groups with arbitrary subscriptions.</summary>
    public static Gen<RandomGroup> Any { get; } = Gen.Choose(1, int.MaxValue).Select(seed => Make(new Random(seed), alike: false));

    public IEnumerable<TopicPartition> Partitions =>
        Topics.SelectMany(topic => Enumerable.Range(0, topic.PartitionCount).Select(number => new TopicPartition(topic.Name, number)));

    public IEnumerable<AssignmentMember> Eligible(string topic) => Members.Where(member => member.Topics.Contains(topic));

    /// <summary>Returns the group after every member has taken its assignment.</summary>
    public RandomGroup Holding(IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> assignment, int generation) => this with
    {
        Members = [.. Members.Select(member => member with { Owned = assignment[member.MemberId], Generation = generation })],
    };

    public RandomGroup Shuffled(int seed)
    {
        var random = new Random(seed);
        return new RandomGroup([.. Members.OrderBy(_ => random.Next())], [.. Topics.OrderBy(_ => random.Next())]);
    }

    private static RandomGroup Make(Random random, bool alike)
    {
        var topics = Enumerable.Range(0, random.Next(1, 6)).Select(number =>
        {
            var partitions = random.Next(1, 12);
            return new AssignmentTopic($"t{number}", partitions, random.Next(2) == 0
                ? null
                : [.. Enumerable.Range(0, partitions)
                    .Select(_ => (IReadOnlyCollection<string>)[.. Racks.Where(_ => random.Next(2) == 0)])]);
        }).ToList();
        var names = topics.Select(topic => topic.Name).ToList();
        var members = Enumerable.Range(0, random.Next(1, 9)).Select(number => new AssignmentMember
        {
            MemberId = $"m{number}",
            InstanceId = random.Next(4) == 0 ? $"i{9 - number}" : null,
            RackId = random.Next(3) == 0 ? null : Racks[random.Next(Racks.Length)],
            Topics = [.. names.Where(_ => alike || random.Next(2) == 0), "missing"],
            Owned =
                [.. topics.SelectMany(topic => Enumerable.Range(0, topic.PartitionCount + 1).Where(_ => random.Next(5) == 0)
                    .Select(partition => new TopicPartition(topic.Name, partition)))],
            Generation = random.Next(-1, 3),
        }).ToList();
        return new RandomGroup(members, topics);
    }
}
