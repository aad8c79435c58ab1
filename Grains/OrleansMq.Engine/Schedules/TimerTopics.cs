namespace OrleansMq.Schedules;

/// <summary>The topics that timers are for, each with their number. A timer holds a small number instead of its topic's id.</summary>
internal sealed class TimerTopics
{
    private readonly Dictionary<Guid, int> _slots = [];
    private readonly List<(Guid TopicId, int Count)> _topics = [];
    private readonly Stack<int> _free = [];

    /// <summary>The topics with timers.</summary>
    public IReadOnlyCollection<Guid> Ids => _slots.Keys;

    /// <summary>Returns the number of a topic's timers.</summary>
    public int CountOf(Guid topicId) => _slots.TryGetValue(topicId, out var slot) ? _topics[slot].Count : 0;

    /// <summary>Returns the topic with a number.</summary>
    public Guid IdOf(int slot) => _topics[slot].TopicId;

    /// <summary>Counts a timer, and returns its topic's number.</summary>
    public int Add(Guid topicId)
    {
        if (_slots.TryGetValue(topicId, out var slot))
        {
            _topics[slot] = (topicId, _topics[slot].Count + 1);
            return slot;
        }
        if (!_free.TryPop(out slot))
        {
            slot = _topics.Count;
            _topics.Add(default);
        }
        _topics[slot] = (topicId, 1);
        _slots.Add(topicId, slot);
        return slot;
    }

    /// <summary>A timer of the topic with this number is gone.</summary>
    public void Remove(int slot)
    {
        var (topicId, count) = _topics[slot];
        _topics[slot] = (topicId, count - 1);
        if (count > 1)
            return;
        _slots.Remove(topicId);
        _free.Push(slot);
    }
}
