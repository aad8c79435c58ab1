using System.Collections.Immutable;

namespace OrleansMq.Groups.Consumer;

/// <summary>Resolves subscriptions to served topics: those subscribed by name, and those that match patterns.</summary>
internal sealed class ConsumerSubscriptions
{
    private readonly Dictionary<string, List<string>> _byPattern = new(StringComparer.Ordinal);
    private readonly GroupTopics _topics;

    public ConsumerSubscriptions(GroupTopics topics) => _topics = topics;

    /// <summary>Returns the distinct served topics of a member.</summary>
    public IReadOnlyCollection<string> Of(ConsumerMember member)
    {
        var named = member.TopicNames.Where(name => _topics.Find(name) is not null);
        return member.TopicRegex is { Length: > 0 } pattern ? named.Union(Matching(pattern), StringComparer.Ordinal).ToList()
            : named.ToList();
    }

    /// <summary>Returns the current topics of all members.</summary>
    public ImmutableSortedDictionary<string, ConsumerTopic> OfAll(ConsumerGroupState state)
    {
        var all = ImmutableSortedDictionary.CreateBuilder<string, ConsumerTopic>(StringComparer.Ordinal);
        foreach (var name in state.Members.Values.SelectMany(Of))
        {
            if (!all.ContainsKey(name) && _topics.Find(name) is { } topic)
                all.Add(name, new ConsumerTopic(topic.TopicId, PartitionsOf(state, topic)));
        }
        return all.ToImmutable();
    }

    // Topics never shrink. Fewer partitions come from an older image, on a broker that has just taken the group over.
    private static int PartitionsOf(ConsumerGroupState state, GroupTopic topic) =>
        state.Topics.TryGetValue(topic.Name, out var before) && before.TopicId == topic.TopicId
        ? Math.Max(before.Partitions, topic.Partitions) : topic.Partitions;

    private List<string> Matching(string text)
    {
        if (_byPattern.TryGetValue(text, out var names))
            return names;
        // A pattern is validated when a member sends it. One that a newer runtime rejects matches nothing.
        names = TopicPattern.TryParse(text, out var pattern, out _) ? [.. _topics.All.Select(topic => topic.Name).Where(pattern.IsMatch)]
            : [];
        _byPattern.Add(text, names);
        return names;
    }
}
