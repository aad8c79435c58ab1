using System.Runtime.InteropServices;

namespace OrleansMq.Schedules;

/// <summary>The schedules that repeat, each with its topic, and how many each topic has.</summary>
internal sealed class RepeatingIds
{
    private readonly Dictionary<Guid, Guid> _topics = [];
    private readonly Dictionary<Guid, int> _counts = [];

    /// <summary>All of them.</summary>
    public IEnumerable<(Guid Id, Guid TopicId)> All => _topics.Select(static one => (one.Key, one.Value));

    /// <summary>Whether a schedule is one.</summary>
    public bool Contains(Guid id) => _topics.ContainsKey(id);

    /// <summary>Returns the number of a topic's schedules.</summary>
    public int CountOf(Guid topicId) => _counts.GetValueOrDefault(topicId);

    /// <summary>Adds a schedule; one that is known changes nothing. An id is of one topic.</summary>
    public void Add(Guid id, Guid topicId)
    {
        if (_topics.TryAdd(id, topicId))
            CollectionsMarshal.GetValueRefOrAddDefault(_counts, topicId, out _)++;
    }

    /// <summary>Removes a schedule.</summary>
    public void Remove(Guid id)
    {
        if (_topics.Remove(id, out var topicId) && --CollectionsMarshal.GetValueRefOrNullRef(_counts, topicId) == 0)
            _counts.Remove(topicId);
    }
}
