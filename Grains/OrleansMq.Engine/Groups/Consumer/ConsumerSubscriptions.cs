using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

/// <summary>
/// Resolves subscriptions to served topics: those subscribed by name, and those that match a member's pattern and that its caller may
/// describe. Where the caller or the rules are not known yet, a member keeps what it has of the topics that match.
/// </summary>
/// <param name="topics">The topics, and which of them members may describe.</param>
/// <param name="group">The group as of its last target.</param>
internal sealed class ConsumerSubscriptions(GroupTopics topics, ConsumerGroup group)
{
    private readonly Dictionary<string, List<string>> _byPattern = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Pattern, Subscriber), (List<string> Names, bool IsDecided)> _seen = [];

    /// <summary>Returns the distinct served topics of a member.</summary>
    public IReadOnlyCollection<string> Of(ConsumerMember member)
    {
        var named = member.TopicNames.Where(name => topics.Find(name) is not null);
        return member.TopicRegex is { Length: > 0 } pattern
            ? named.Union(Resolve(member.MemberId, pattern), StringComparer.Ordinal).ToList() : named.ToList();
    }

    /// <summary>Returns the current topics of all members.</summary>
    public ImmutableSortedDictionary<string, ConsumerTopic> OfAll(ConsumerGroupState state)
    {
        var all = ImmutableSortedDictionary.CreateBuilder<string, ConsumerTopic>(StringComparer.Ordinal);
        foreach (var name in state.Members.Values.SelectMany(Of))
        {
            if (!all.ContainsKey(name) && topics.Find(name) is { } topic)
                all.Add(name, new ConsumerTopic(topic.TopicId, PartitionsOf(state, topic)));
        }
        return all.ToImmutable();
    }

    /// <summary>Whether a member's pattern is resolved to other topics than before, although the topics of the whole group may be the same.
    /// Before the first resolution: whether the member's target has a topic that it may not describe, or the group lacks one that it
    /// may.</summary>
    public bool IsChanged(ConsumerMember member)
    {
        if (topics.Sight is null || member.TopicRegex is not { Length: > 0 } pattern
            || !group.Resolved.TryGetValue(member.MemberId, out var resolved))
            return false;
        if (resolved.Names is { } names)
            return !names.SequenceEqual(Resolve(member.MemberId, pattern));
        var all = Of(member);
        var served = all.Select(name => topics.Find(name)?.TopicId).ToHashSet();
        return all.Any(name => !group.State.Topics.ContainsKey(name))
            || member.Target.Any(partition => !served.Contains(partition.TopicId));
    }

    /// <summary>Returns the group with the resolution of a member's pattern.</summary>
    public ConsumerGroup Record(string memberId, string pattern) => topics.Sight is null ? group : group with
    {
        Resolved = group.Resolved.SetItem(memberId, group.Resolved[memberId] with { Names = Resolve(memberId, pattern) }),
    };

    /// <summary>Returns the resolutions of a group's patterns, to compare the next ones with.</summary>
    /// <param name="state">The group's state.</param>
    public ImmutableDictionary<string, ResolvedRegex> ResolvedIn(ConsumerGroupState state)
    {
        var next = group.Resolved;
        foreach (var (memberId, resolved) in group.Resolved)
        {
            if (!state.Members.TryGetValue(memberId, out var member) || member.TopicRegex is not { Length: > 0 } pattern)
                next = next.Remove(memberId);
            else if (topics.Sight is not null && Resolve(memberId, pattern) is var names
                && (resolved.Names is null || !names.SequenceEqual(resolved.Names)))
                next = next.SetItem(memberId, resolved with { Names = names });
        }
        return next;
    }

    // Topics never shrink. Fewer partitions come from an older image, on a broker that has just taken the group over.
    private static int PartitionsOf(ConsumerGroupState state, GroupTopic topic) =>
        state.Topics.TryGetValue(topic.Name, out var before) && before.TopicId == topic.TopicId
        ? Math.Max(before.Partitions, topic.Partitions) : topic.Partitions;

    private List<string> Resolve(string memberId, string pattern)
    {
        var all = Matching(pattern);
        if (topics.Sight is not { } sight)
            return all;
        if (!group.Resolved.TryGetValue(memberId, out var resolved))
            return all.FindAll(group.State.Topics.ContainsKey);
        var subscriber = resolved.Subscriber;
        if (subscriber == Subscriber.Broker)
            return all;
        if (!_seen.TryGetValue((pattern, subscriber), out var seen))
            _seen.Add((pattern, subscriber), seen = SeenOf(all, name => sight.Sees(subscriber, name)));
        return seen.IsDecided ? seen.Names
            : all.FindAll(name => sight.Sees(subscriber, name) ?? resolved.Names?.Contains(name) ?? group.State.Topics.ContainsKey(name));
    }

    private static (List<string> Names, bool IsDecided) SeenOf(List<string> all, Func<string, bool?> sees)
    {
        var decided = all.ConvertAll(name => sees(name));
        // Most members see all, and share one list.
        return (decided.TrueForAll(static one => one == true) ? all : [.. all.Where((_, index) => decided[index] == true)],
            decided.TrueForAll(static one => one is not null));
    }

    private List<string> Matching(string text)
    {
        if (_byPattern.TryGetValue(text, out var names))
            return names;
        // A pattern is validated when a member sends it. One that a newer runtime rejects matches nothing.
        names = TopicPattern.TryParse(text, out var pattern, out _) ? [.. topics.All.Select(topic => topic.Name).Where(pattern.IsMatch)]
            : [];
        _byPattern.Add(text, names);
        return names;
    }
}
