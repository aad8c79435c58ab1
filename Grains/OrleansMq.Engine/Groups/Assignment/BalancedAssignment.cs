namespace OrleansMq.Groups.Assignment;

/// <summary>
/// Computes the most even assignment that the subscriptions allow. Among the even ones it prefers one that moves few partitions, and among
/// these one that reads from the member's own rack. Used by <c>sticky</c>, <c>cooperative-sticky</c> and <c>uniform</c>.
/// <para>First, members keep what they own, and free partitions go to the member with the fewest. Then members with at least two more
/// partitions than another give some away, directly or along a chain of members that each pass one on. Without such a chain no other
/// assignment is more even (an optimal semi-matching: N. Harvey, R. Ladner, L. Lovász, T. Tamir, 2003). Chains that move only previously
/// free partitions come first, so if these can be spread without taking any from a member, they are. Members with the same subscription
/// form a class, and chains are searched among classes: most groups have one.</para>
/// </summary>
internal sealed class BalancedAssignment
{
    private const int None = AssignmentProblem.None;

    private readonly AssignmentProblem _problem;
    private readonly int[] _assigned;
    private readonly int[] _load;
    private readonly Dictionary<int, List<int>>[] _held; // by member and topic: kept partitions, then new ones
    private readonly int[] _classOf;
    private readonly List<MemberClass> _classes = [];
    private readonly List<int>[] _classesOfTopic;

    private BalancedAssignment(AssignmentProblem problem)
    {
        _problem = problem;
        _assigned = new int[problem.PartitionCount];
        _assigned.AsSpan().Fill(None);
        _load = new int[problem.Members.Length];
        _held = [.. problem.Members.Select(_ => new Dictionary<int, List<int>>())];
        _classOf = new int[problem.Members.Length];
        _classesOfTopic = [.. problem.Topics.Select(_ => new List<int>())];
        FormClasses();
    }

    /// <summary>Returns each partition's new member; <see cref="AssignmentProblem.None"/> only without subscribers.</summary>
    public static int[] Of(AssignmentProblem problem)
    {
        var assignment = new BalancedAssignment(problem);
        assignment.Keep();
        assignment.Fill();
        assignment.Even(onlyNew: true);
        assignment.Even(onlyNew: false);
        RackImprovement.Apply(problem, assignment._assigned, assignment._load);
        return assignment._assigned;
    }

    private void FormClasses()
    {
        var known = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var member = 0; member < _classOf.Length; member++)
        {
            var topics = _problem.SubscribedTopics[member];
            var key = string.Join(',', topics);
            if (!known.TryGetValue(key, out var number))
            {
                known.Add(key, number = _classes.Count);
                _classes.Add(new MemberClass(_problem.Topics.Length));
                foreach (var topic in topics)
                    _classesOfTopic[topic].Add(number);
            }
            _classOf[member] = number;
            _classes[number].ByLoad.Add((0, member));
        }
    }

    private void Keep()
    {
        for (var partition = 0; partition < _assigned.Length; partition++)
        {
            if (_problem.Owner[partition] != None)
                Give(partition, _problem.Owner[partition]);
        }
    }

    /// <summary>Assigns free partitions. Topics with the fewest subscribers come first, since they have the least choice.</summary>
    private void Fill()
    {
        foreach (var topic in Enumerable.Range(0, _problem.Topics.Length).OrderBy(topic => _problem.Subscribers[topic].Length))
        {
            var takers = new PriorityQueue<int, (int Load, int Member)>();
            foreach (var member in _problem.Subscribers[topic])
                takers.Enqueue(member, (_load[member], member));
            for (var partition = _problem.FirstPartition[topic]; takers.Count > 0 && partition < _problem.FirstPartition[topic + 1];
                partition++)
            {
                if (_assigned[partition] != None)
                    continue;
                var taker = takers.Dequeue();
                Give(partition, taker);
                takers.Enqueue(taker, (_load[taker], taker));
            }
        }
    }

    /// <summary>Moves partitions along chains, from the member with the most. In another order, a member could give away partitions that a
    /// later one gives back.</summary>
    private void Even(bool onlyNew)
    {
        bool moved;
        do
        {
            moved = false;
            var byLoad = new PriorityQueue<int, (int Load, int Member)>(Enumerable.Range(0, _load.Length)
                .Select(member => (member, (-_load[member], member))));
            while (byLoad.TryDequeue(out var member, out _))
            {
                if (!Relieve(member, onlyNew))
                    continue;
                moved = true;
                byLoad.Enqueue(member, (-_load[member], member));
            }
        }
        while (moved);
    }

    /// <summary>Takes one partition from a member, along the shortest chain to one that has at least two fewer.</summary>
    private bool Relieve(int member, bool onlyNew)
    {
        var least = _load[member] - 2;
        if (least < 0 || _classes.TrueForAll(candidate => candidate.LeastLoad > least))
            return false;
        var cameBy = new (int Class, int Topic)[_classes.Count];
        cameBy.AsSpan().Fill((None, None));
        var seenTopics = new bool[_problem.Topics.Length];
        var level = Reach(None, _held[member].Where(held => !onlyNew || !IsKept(held.Value[^1])).Select(held => held.Key), seenTopics,
            cameBy);
        while (level.Count > 0)
        {
            var best = level.MinBy(reached => (_classes[reached].LeastLoad, reached));
            if (_classes[best].LeastLoad <= least)
            {
                PassAlong(member, best, cameBy);
                return true;
            }
            level = [.. level.SelectMany(reached => Reach(reached, _classes[reached].HeldTopics(onlyNew), seenTopics, cameBy))];
        }
        return false;
    }

    /// <summary>Returns the classes that can take a partition of these topics and were not reached before.</summary>
    private List<int> Reach(int from, IEnumerable<int> topics, bool[] seenTopics, (int Class, int Topic)[] cameBy)
    {
        var reached = new List<int>();
        foreach (var topic in topics.Order())
        {
            if (seenTopics[topic])
                continue;
            seenTopics[topic] = true;
            foreach (var taker in _classesOfTopic[topic].Where(taker => cameBy[taker].Topic == None))
            {
                cameBy[taker] = (from, topic);
                reached.Add(taker);
            }
        }
        return reached;
    }

    /// <summary>Passes partitions along a chain: the least loaded member of the last class gets one from the class before it, and so on
    /// back to the giver.</summary>
    private void PassAlong(int giver, int last, (int Class, int Topic)[] cameBy)
    {
        var receiver = _classes[last].ByLoad.Min.Member;
        for (var to = last; to != None;)
        {
            var (from, topic) = cameBy[to];
            var by = from == None
                ? giver : _classes[from].ByLoad.Select(entry => entry.Member).Where(member => _held[member].ContainsKey(topic))
                .MinBy(member => (IsKept(_held[member][topic][^1]), member));
            // The giver itself may choose any topic that the receivers read. It prefers a new partition over a kept one, of the topic with
            // most partitions.
            var given = from == None ? BestToGive(giver, to, topic) : topic;
            var partition = _held[by][given][^1];
            Take(partition);
            Give(partition, receiver);
            receiver = by;
            to = from;
        }
    }

    private int BestToGive(int giver, int toClass, int otherwise) => _held[giver]
        .Where(held => _classesOfTopic[held.Key].Contains(toClass))
        .OrderBy(held => IsKept(held.Value[^1])).ThenByDescending(held => held.Value.Count).ThenBy(held => held.Key)
        .Select(held => held.Key).DefaultIfEmpty(otherwise).First();

    private bool IsKept(int partition) => _problem.Owner[partition] == _assigned[partition];

    private void Give(int partition, int member)
    {
        var topic = _problem.TopicOf(partition);
        _assigned[partition] = member;
        if (!_held[member].TryGetValue(topic, out var list))
            _held[member].Add(topic, list = []);
        list.Add(partition);
        ChangeLoad(member, 1);
        _classes[_classOf[member]].Count(topic, IsKept(partition), 1);
    }

    private void Take(int partition)
    {
        var topic = _problem.TopicOf(partition);
        var member = _assigned[partition];
        var list = _held[member][topic];
        list.RemoveAt(list.Count - 1);
        if (list.Count == 0)
            _held[member].Remove(topic);
        ChangeLoad(member, -1);
        _classes[_classOf[member]].Count(topic, IsKept(partition), -1);
    }

    private void ChangeLoad(int member, int by)
    {
        var byLoad = _classes[_classOf[member]].ByLoad;
        byLoad.Remove((_load[member], member));
        _load[member] += by;
        byLoad.Add((_load[member], member));
    }

    /// <summary>Members with the same subscription.</summary>
    private sealed class MemberClass(int topics)
    {
        private readonly int[] _held = new int[topics];
        private readonly int[] _new = new int[topics];

        public SortedSet<(int Load, int Member)> ByLoad { get; } = [];

        public int LeastLoad => ByLoad.Min.Load;

        /// <summary>Counts the partitions that the members hold together.</summary>
        public void Count(int topic, bool isKept, int by)
        {
            _held[topic] += by;
            _new[topic] += isKept ? 0 : by;
        }

        public IEnumerable<int> HeldTopics(bool onlyNew)
        {
            var counts = onlyNew ? _new : _held;
            for (var topic = 0; topic < counts.Length; topic++)
            {
                if (counts[topic] > 0)
                    yield return topic;
            }
        }
    }
}
