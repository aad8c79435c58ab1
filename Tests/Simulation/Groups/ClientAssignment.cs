using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>What a classic member and its leader do with the shipped assignors and their bytes.</summary>
internal static class ClientAssignment
{
    public static IClientAssignor Find(string name) =>
        ClientAssignors.TryGet(name, out var assignor) ? assignor : throw new Verdict($"assignors: there is no '{name}'");

    /// <summary>What a member says when it joins.</summary>
    /// <param name="name">The assignor.</param>
    /// <param name="topics">What it wants.</param>
    /// <param name="isCooperative">Whether it reads on meanwhile. Who has given up all holds nothing that a cooperative assignor had to
    /// wait for.</param>
    /// <param name="had">What it was given last.</param>
    /// <param name="generation">When.</param>
    public static GroupProtocol Offer(string name, IReadOnlyList<string> topics, bool isCooperative, IReadOnlyList<TopicPartition> had,
        int generation)
    {
        var assignor = Find(name);
        return ClientAssignors.Offer(assignor, assignor.IsCooperative && !isCooperative ? assignor.Subscribe(topics, [], -1)
            : assignor.Subscribe(topics, had, generation));
    }

    /// <summary>The topics that anybody in the group wants to read.</summary>
    public static IReadOnlySet<string> Topics(string protocol, IReadOnlyList<JoinedMember> members) => Read(Find(protocol), members).Topics;

    public static IReadOnlyList<MemberAssignment> Assign(string protocol, IReadOnlyList<JoinedMember> members,
        IEnumerable<SimulatedTopic> topics)
    {
        var assignor = Find(protocol);
        return ClientAssignors.Assign(assignor, Read(assignor, members),
            [.. topics.Select(t => new AssignmentTopic(t.Name, t.Partitions))]);
    }

    public static IReadOnlyList<TopicPartition> Parse(ReadOnlyMemory<byte> assignment) =>
        ConsumerProtocol.TryDecodeAssignment(assignment, out var parsed, out var error)
        ? parsed.Partitions : throw new Verdict($"assignment: {error}");

    private static JoinedSubscriptions Read(IClientAssignor assignor, IReadOnlyList<JoinedMember> members)
    {
        var joined = ClientAssignors.Read(assignor, members);
        Verdict.Require(joined.Unreadable.Count == 0, $"subscriptions: {string.Join(", ", joined.Unreadable)}");
        return joined;
    }
}
