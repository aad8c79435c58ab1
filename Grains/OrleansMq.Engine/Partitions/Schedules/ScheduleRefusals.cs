using System.Collections.Concurrent;
using OrleansMq.Api;

namespace OrleansMq.Partitions.Schedules;

/// <summary>
/// The topics that refused a due record lately, with their limits: while they are here, their due records are checked before they are
/// decided, so that one which is refused again and again is not written to the schedules' log each time. Thread safe.
/// </summary>
/// <remarks>A topic that is not known, or cannot be described now, is not checked: it decides itself. A description that takes long is left
/// running, and nothing waits for it twice.</remarks>
internal sealed class ScheduleRefusals(IBroker broker, TimeProvider time)
{
    /// <summary>How long a topic is checked after its last refusal.</summary>
    public static readonly TimeSpan Remembered = TimeSpan.FromMinutes(10);

    private const int MaxTopics = 1_000;
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<Guid, Refusing> _topics = [];

    private sealed class Refusing(string name)
    {
        public string Name { get; } = name;
        public long RefusedAt { get; set; }
        public TopicLimits? Limits { get; set; }
        public Task<TopicLimits?>? Describing { get; set; }
        public long DescribedAt { get; set; }
    }

    /// <summary>A topic refused a record.</summary>
    public void Note(string name, Guid topicId)
    {
        if (_topics.Count >= MaxTopics && !_topics.ContainsKey(topicId))
            _topics.Clear();
        _topics.GetOrAdd(topicId, static (_, name) => new Refusing(name), name).RefusedAt = time.GetTimestamp();
    }

    /// <summary>Returns the limits of those of some topics that refused records lately. None waits for another.</summary>
    public async ValueTask<IReadOnlyDictionary<Guid, TopicLimits>> FindAsync(IEnumerable<Guid> topicIds,
        CancellationToken cancellationToken)
    {
        var limits = new Dictionary<Guid, TopicLimits>();
        if (_topics.IsEmpty)
            return limits;
        var asked = new List<(Guid TopicId, Task<TopicLimits?> Limits)>();
        foreach (var topicId in topicIds.Distinct())
        {
            if (_topics.TryGetValue(topicId, out var topic))
                asked.Add((topicId, FindAsync(topicId, topic, cancellationToken)));
        }
        foreach (var (topicId, found) in asked)
        {
            if (await found.ConfigureAwait(false) is { } known)
                limits[topicId] = known;
        }
        return limits;
    }

    private async Task<TopicLimits?> FindAsync(Guid topicId, Refusing topic, CancellationToken cancellationToken)
    {
        if (time.GetElapsedTime(topic.RefusedAt) > Remembered)
        {
            _topics.TryRemove(KeyValuePair.Create(topicId, topic));
            return null;
        }
        Task<TopicLimits?> describing;
        lock (topic)
        {
            if (topic.Describing is { IsCompleted: false })
                return topic.Limits;
            if (topic.Describing is not null && time.GetElapsedTime(topic.DescribedAt) < Fresh)
                return topic.Limits;
            topic.DescribedAt = time.GetTimestamp();
            topic.Describing = describing = DescribeAsync(topicId, topic);
        }
        try
        {
            return await describing.WaitAsync(ScheduleTopics.Patience, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return topic.Limits;
        }
    }

    private async Task<TopicLimits?> DescribeAsync(Guid topicId, Refusing topic)
    {
        try
        {
            var described = await broker.DescribeTopicAsync(topic.Name, CancellationToken.None).ConfigureAwait(false);
            topic.Limits = described.TopicId == topicId ? TopicLimits.Of(described) : null;
        }
        catch (Exception fault) when (fault is BrokerException or TimeoutException or IOException)
        {
            topic.Limits = null;
        }
        return topic.Limits;
    }
}
