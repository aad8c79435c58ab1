namespace OrleansMq.Groups.Assignment;

/// <summary>
/// Members and topics as numbers, for assignors: members in their order (static ones first, by instance id; then by member id), topics by
/// name, and all partitions of all topics in one row. Only topics that somebody is subscribed to are in it.
/// </summary>
internal sealed class AssignmentProblem
{
    /// <summary>Nobody.</summary>
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

    /// <summary>By topic the place of its partition 0 in the row of all partitions; one more at the end.</summary>
    public int[] FirstPartition { get; }

    public int PartitionCount => FirstPartition[^1];

    /// <summary>By member its topics, ascending.</summary>
    public int[][] SubscribedTopics { get; }

    /// <summary>By topic the members that read it, in their order.</summary>
    public int[][] Subscribers { get; }

    /// <summary>By partition the member that holds it and may go on: the one with the highest generation among those who claim it;
    /// <see cref="None"/> where nobody or more than one does.</summary>
    public int[] Owner { get; }

    public int TopicOf(int partition) => _topicOf[partition];

    public TopicPartition Name(int partition) => new(Topics[_topicOf[partition]].Name, partition - FirstPartition[_topicOf[partition]]);

    /// <summary>The place of a partition in the row; <see cref="None"/> where it is of no topic here.</summary>
    public int IndexOf(TopicPartition partition) =>
        _topicIndex.TryGetValue(partition.Topic, out var topic) && (uint)partition.Partition < (uint)Topics[topic].PartitionCount
            ? FirstPartition[topic] + partition.Partition
            : None;

    public bool IsSubscribed(int member, int topic) => Array.BinarySearch(SubscribedTopics[member], topic) >= 0;

    /// <summary>Whether a replica of the partition is in the member's rack.</summary>
    public bool IsInRack(int partition, int member) => Members[member].RackId is { } rack && RacksOf(partition)?.Contains(rack) == true;

    /// <summary>The racks of a partition; null where they are not known.</summary>
    public IReadOnlyCollection<string>? RacksOf(int partition)
    {
        var topic = _topicOf[partition];
        var number = partition - FirstPartition[topic];
        return Topics[topic].Racks is { } racks && number < racks.Count ? racks[number] : null;
    }

    /// <summary>The answer: by partition its new member, or <see cref="None"/>.</summary>
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
