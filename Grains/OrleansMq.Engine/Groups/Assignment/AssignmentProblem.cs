namespace OrleansMq.Groups.Assignment;

/// <summary>
/// The input of assignors in numbers. Members are ordered (static ones first, by instance id; then by member id), topics by name, and the
/// partitions of all topics form one sequence. Contains only topics with subscribers.
/// </summary>
internal sealed class AssignmentProblem
{
    /// <summary>No member.</summary>
    public const int None = -1;

    private readonly Dictionary<string, int> _topicIndex = new(StringComparer.Ordinal);
    private readonly int[] _topicOf;

    public AssignmentProblem(IReadOnlyCollection<AssignmentMember> members, IReadOnlyCollection<AssignmentTopic> topics)
    {
        Members = [.. members.OrderBy(member => member.InstanceId is null).ThenBy(member => member.InstanceId, StringComparer.Ordinal)
            .ThenBy(member => member.MemberId, StringComparer.Ordinal)];
        var subscribed = members.SelectMany(member => member.Topics).ToHashSet(StringComparer.Ordinal);
        Topics = [.. topics.Where(topic => subscribed.Contains(topic.Name)).OrderBy(topic => topic.Name, StringComparer.Ordinal)];
        FirstPartition = new int[Topics.Length + 1];
        for (var topic = 0; topic < Topics.Length; topic++)
        {
            _topicIndex.Add(Topics[topic].Name, topic);
            FirstPartition[topic + 1] = FirstPartition[topic] + Topics[topic].PartitionCount;
        }
        _topicOf = new int[PartitionCount];
        for (var topic = 0; topic < Topics.Length; topic++)
            _topicOf.AsSpan(FirstPartition[topic], Topics[topic].PartitionCount).Fill(topic);
        SubscribedTopics = [.. Members.Select(member =>
            member.Topics.Distinct(StringComparer.Ordinal).Where(_topicIndex.ContainsKey).Select(topic => _topicIndex[topic]).Order()
            .ToArray())];
        Subscribers = InvertSubscriptions();
        Owner = FindOwners();
    }

    public AssignmentMember[] Members { get; }

    public AssignmentTopic[] Topics { get; }

    /// <summary>For each topic the index of its partition 0 in the sequence of all partitions; one more entry at the end.</summary>
    public int[] FirstPartition { get; }

    public int PartitionCount => FirstPartition[^1];

    /// <summary>For each member its topics, ascending.</summary>
    public int[][] SubscribedTopics { get; }

    /// <summary>For each topic its subscribers, in member order.</summary>
    public int[][] Subscribers { get; }

    /// <summary>For each partition the member that owns it and may keep it: the one with the highest generation among those that claim it.
    /// <see cref="None"/> if none claims it, or several with that generation.</summary>
    public int[] Owner { get; }

    public int TopicOf(int partition) => _topicOf[partition];

    public TopicPartition Name(int partition) => new(Topics[_topicOf[partition]].Name, partition - FirstPartition[_topicOf[partition]]);

    /// <summary>Returns the index of a partition in the sequence; <see cref="None"/> if its topic is not included.</summary>
    public int IndexOf(TopicPartition partition) =>
        _topicIndex.TryGetValue(partition.Topic, out var topic) && (uint)partition.Partition < (uint)Topics[topic].PartitionCount
            ? FirstPartition[topic] + partition.Partition
            : None;

    public bool IsSubscribed(int member, int topic) => Array.BinarySearch(SubscribedTopics[member], topic) >= 0;

    /// <summary>Whether a replica of the partition is in the member's rack.</summary>
    public bool IsInRack(int partition, int member) => Members[member].RackId is { } rack && RacksOf(partition)?.Contains(rack) == true;

    /// <summary>Returns the racks of a partition's replicas; null if unknown.</summary>
    public IReadOnlyCollection<string>? RacksOf(int partition)
    {
        var topic = _topicOf[partition];
        var number = partition - FirstPartition[topic];
        return Topics[topic].Racks is { } racks && number < racks.Count ? racks[number] : null;
    }

    /// <summary>Converts the solution, each partition's new member or <see cref="None"/>, to names.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> Name(ReadOnlySpan<int> assigned)
    {
        var lists = Members.Select(_ => new List<TopicPartition>()).ToArray();
        for (var partition = 0; partition < assigned.Length; partition++)
        {
            if (assigned[partition] != None)
                lists[assigned[partition]].Add(Name(partition));
        }
        var named = new Dictionary<string, IReadOnlyList<TopicPartition>>(Members.Length, StringComparer.Ordinal);
        for (var member = 0; member < lists.Length; member++)
            named.Add(Members[member].MemberId, lists[member]);
        return named;
    }

    private int[][] InvertSubscriptions()
    {
        var subscribers = Topics.Select(_ => new List<int>()).ToArray();
        for (var member = 0; member < Members.Length; member++)
        {
            foreach (var topic in SubscribedTopics[member])
                subscribers[topic].Add(member);
        }
        return [.. subscribers.Select(list => list.ToArray())];
    }

    private int[] FindOwners()
    {
        var owner = new int[PartitionCount];
        var claimed = new int[PartitionCount];
        owner.AsSpan().Fill(None);
        claimed.AsSpan().Fill(int.MinValue);
        for (var member = 0; member < Members.Length; member++)
        {
            var generation = Members[member].Generation;
            foreach (var partition in Members[member].Owned.Select(IndexOf).Where(index => index != None).Distinct())
            {
                if (generation < claimed[partition] || !IsSubscribed(member, _topicOf[partition]))
                    continue;
                owner[partition] = generation > claimed[partition] ? member : None;
                claimed[partition] = generation;
            }
        }
        return owner;
    }
}
