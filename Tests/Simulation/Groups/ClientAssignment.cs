using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>How a classic member and its leader use the shipped assignors and their bytes.</summary>
internal static class ClientAssignment
{
    public static IClientAssignor Find(string name) =>
        ClientAssignors.TryGet(name, out var assignor) ? assignor : throw new Verdict($"assignors: there is no '{name}'");

    /// <summary>Builds the protocol metadata of a joining member.</summary>
    /// <param name="name">The assignor.</param>
    /// <param name="topics">The subscribed topics.</param>
    /// <param name="isCooperative">Whether the member keeps reading. A member that revoked everything owns nothing that a cooperative
    /// assignor must wait for.</param>
    /// <param name="had">The last assignment.</param>
    /// <param name="generation">Its generation.</param>
    public static GroupProtocol Offer(string name, IReadOnlyList<string> topics, bool isCooperative, IReadOnlyList<TopicPartition> had,
        int generation)
    {
        var assignor = Find(name);
        return ClientAssignors.Offer(assignor, assignor.IsCooperative && !isCooperative ? assignor.Subscribe(topics, [], -1)
            : assignor.Subscribe(topics, had, generation));
    }

    /// <summary>Returns the topics that any member of the group subscribes to.</summary>
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
