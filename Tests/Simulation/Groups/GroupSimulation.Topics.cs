namespace OrleansMq.Tests.Simulation.Groups;

// Topics are created, deleted, recreated under their name, and grown. Each broker and member learns of it at another time.
internal sealed partial class GroupSimulation
{
    /// <summary>The topic names: those that regular expressions match, and one that they do not.</summary>
    private static readonly string[] TopicNames = ["orders", "orders-eu", "orders-us", "audit"];
    private const int MostPartitions = 8;

    private readonly SortedDictionary<string, SimulatedTopic> _topics = new(StringComparer.Ordinal);

    /// <summary>The regular expression of members that subscribe by one.</summary>
    public const string Regex = "orders.*";

    public IReadOnlyDictionary<string, SimulatedTopic> Topics => _topics;

    /// <summary>Whether the members' own regular expression matches.</summary>
    public static bool Matches(string topic) => topic.StartsWith("orders", StringComparison.Ordinal);

    /// <summary>Returns the name of a topic id, even of a deleted topic.</summary>
    public string NameOf(Guid topicId) => _names.GetValueOrDefault(topicId, "unknown");

    private readonly Dictionary<Guid, string> _names = [];

    private void CreateTopics()
    {
        for (var i = 0; i < Scenario.Topics; i++)
            CreateTopic(TopicNames[i]);
    }

    private void CreateTopic(string name) => CreateTopic(name, _random.Next(1, 7));

    private void CreateTopic(string name, int partitions)
    {
        var topic = new SimulatedTopic(name, NewTopicId(), partitions);
        _topics[name] = topic;
        _names[topic.Id] = name;
        SpreadTopics();
    }

    // Topic ids carry their creation time (UUID version 7).
    private Guid NewTopicId()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        var time = Epoch.ToUnixTimeMilliseconds() + (2 * Now) + _names.Count;
        for (var i = 5; i >= 0; i--, time >>= 8)
            bytes[i] = (byte)time;
        bytes[6] = (byte)(0x70 | (bytes[6] & 0x0F));
        bytes[8] = (byte)(0x80 | (bytes[8] & 0x3F));
        return new Guid(bytes, bigEndian: true);
    }

    private void ChangeTopics()
    {
        var name = Choose(TopicNames);
        if (!_topics.TryGetValue(name, out var topic))
            CreateTopic(name);
        else if (Scenario.RecreatesTopics && Chance(50))
        {
            // The last topic stays, since a group without topics proves nothing.
            if (_topics.Count == 1)
                return;
            _topics.Remove(name);
            SpreadTopics();
            After(_random.Next(Chance(50) ? 100 : 4_000), () =>
            {
                if (!_topics.ContainsKey(name))
                    CreateTopic(name);
            });
        }
        else if (topic.Partitions < MostPartitions)
        {
            _topics[name] = topic with { Partitions = _random.Next(topic.Partitions + 1, MostPartitions + 1) };
            SpreadTopics();
        }
        if (IsTraced)
            Tell($"TOPICS {string.Join(' ', _topics.Values.Select(t => $"{t.Name}={t.Id.ToString()[^4..]}x{t.Partitions}"))}");
    }

    // The history of the topics with the time of each change; the version is the index.
    private readonly List<(long Since, SimulatedTopic[] Topics)> _views = [];

    private void SpreadTopics()
    {
        _views.Add((Now, [.. _topics.Values]));
        foreach (var member in _members)
            Spread(_views.Count - 1, member.SeeTopics);
        foreach (var coordinator in _coordinators)
            Spread(_views.Count - 1, (version, topics) => SeeTopics(coordinator, version, topics));
    }

    // Delivers a view to a broker or member after its own delay. An older view after a newer one is ignored.
    private void Spread(int version, Action<long, IReadOnlyList<SimulatedTopic>> see) =>
        After(_random.Next(Scenario.ViewsSpreadMs), () => see(version, _views[version].Topics));

    /// <summary>Delivers a past view to a new process, and then the later ones.</summary>
    private void BeginToSee(Action<long, IReadOnlyList<SimulatedTopic>> see)
    {
        var then = Now - _random.Next(Scenario.ViewsSpreadMs);
        var version = Math.Max(0, _views.FindLastIndex(v => v.Since <= then));
        see(version, _views[version].Topics);
        for (version++; version < _views.Count; version++)
            Spread(version, see);
    }
}
