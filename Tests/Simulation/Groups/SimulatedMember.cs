using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A process that is a member of the group: it joins, reads what it is given, and commits. Whoever restarts is another
/// one.</summary>
internal abstract class SimulatedMember(GroupSimulation simulation, int number, string? instanceId)
{
    private readonly Dictionary<TopicIdPartition, long> _positions = [];
    private readonly List<Action> _onReconnect = [];
    private int _commits;
    private bool _isCommitting;
    private bool _isFetching;
    private long _viewVersion = -1;

    protected GroupSimulation Simulation { get; } = simulation;
    protected GroupScenario Scenario => Simulation.Scenario;
    public int Number { get; } = number;
    public string? InstanceId { get; } = instanceId;
    public bool IsAlive { get; private set; } = true;
    /// <summary>It does nothing until then, and does not know that it did nothing.</summary>
    public long PausedUntil { get; set; }
    public bool IsCutOff { get; set; }
    /// <summary>Counts the connections to coordinators.</summary>
    public int Connection { get; private set; }
    public SimulatedCoordinator? Coordinator { get; private set; }
    /// <summary>When the last of the requests that keep their order arrives.</summary>
    public long LastArrival { get; set; }

    /// <summary>Given by the coordinator, or made by itself; empty before.</summary>
    public string MemberId { get; protected set; } = "";
    /// <summary>The generation, or the member epoch, that it believes to be in; -1 for none.</summary>
    public int Epoch { get; protected set; } = -1;
    /// <summary>What it reads.</summary>
    public HashSet<TopicIdPartition> Held { get; } = [];
    /// <summary>What it reads for its name alone: a classic member takes another topic of that name for the one it was given.</summary>
    public HashSet<TopicIdPartition> Assumed { get; } = [];
    /// <summary>The topics that it sees, by name.</summary>
    protected IReadOnlyDictionary<string, SimulatedTopic> View { get; private set; } = new Dictionary<string, SimulatedTopic>();
    /// <summary>The topics that it named; not used by who subscribes by a regular expression.</summary>
    public SortedSet<string> Names { get; } = new(StringComparer.Ordinal);
    public bool UsesRegex { get; set; }

    public bool Subscribes(string topic) => UsesRegex ? GroupSimulation.Matches(topic) : Names.Contains(topic);

    /// <summary>It has joined, and is not on its way anywhere.</summary>
    public abstract bool IsSettled { get; }

    public override string ToString() => InstanceId is null ? $"m{Number}" : $"m{Number}({InstanceId})";

    public void Start()
    {
        Reconnect();
        Join();
        Simulation.AfterOn(this, Simulation.Next(Scenario.HeartbeatMs), Tick);
        Simulation.AfterOn(this, Simulation.Next(Scenario.CommitEveryMs), Work);
    }

    protected abstract void Join();

    protected abstract void Beat();

    protected abstract void OnViewChanged();

    /// <summary>Something else is subscribed to.</summary>
    public abstract void OnSubscriptionChanged();

    /// <summary>Ends in order: says so, and is gone.</summary>
    public abstract void Leave();

    /// <summary>Ends without a word.</summary>
    public void Crash()
    {
        IsAlive = false;
        Held.Clear();
    }

    public void OnReconnect(Action step) => _onReconnect.Add(step);

    public void Reconnect()
    {
        Connection++;
        _onReconnect.ForEach(step => step());
        _onReconnect.Clear();
        Coordinator = Simulation.FindCoordinator();
    }

    public void SeeTopics(long version, IReadOnlyList<SimulatedTopic> topics)
    {
        if (version <= _viewVersion)
            return;
        _viewVersion = version;
        View = topics.ToDictionary(t => t.Name, StringComparer.Ordinal);
        if (IsAlive)
            Simulation.AfterOn(this, 0, OnViewChanged);
    }

    protected void Take(IEnumerable<TopicIdPartition> partitions)
    {
        List<TopicIdPartition>? taken = null;
        foreach (var partition in partitions)
        {
            if (Held.Add(partition))
                (taken ??= []).Add(partition);
        }
        if (taken is null)
            return;
        if (Simulation.IsTraced)
            Simulation.Tell($"{this} takes {Simulation.Describe(taken)} in {Epoch}");
        Simulation.Ownership.OnTaken(this, taken);
    }

    protected void GiveUp(IEnumerable<TopicIdPartition> partitions)
    {
        var given = partitions.Where(Held.Remove).ToList();
        given.ForEach(p => _positions.Remove(p));
        if (given.Count > 0 && Simulation.IsTraced)
            Simulation.Tell($"{this} gives up {Simulation.Describe(given)}");
    }

    /// <summary>It is out, and what it held may be another's by now.</summary>
    protected virtual void LoseAll()
    {
        Epoch = -1;
        GiveUp([.. Held]);
    }

    private void Tick()
    {
        Simulation.AfterOn(this, Scenario.HeartbeatMs, Tick);
        Beat();
    }

    // Reads on, and commits how far it came.
    private void Work()
    {
        Simulation.AfterOn(this, 1 + Simulation.Next(2 * Scenario.CommitEveryMs), Work);
        if (Epoch < 0 || Held.Count == 0)
            return;
        // It goes back to what is committed, as after an error of its own.
        if (!_isCommitting && Simulation.Chance(10))
            _positions.Remove(Simulation.Choose([.. Held]));
        if (Held.Any(p => !_positions.ContainsKey(p)))
            FetchPositions();
        Commit(null);
    }

    private void FetchPositions()
    {
        if (_isFetching)
            return;
        _isFetching = true;
        TopicIdPartition[] wanted = [.. Held.Where(p => !_positions.ContainsKey(p))];
        var request = new OffsetFetch
        {
            GroupId = GroupSimulation.GroupId,
            Partitions = [.. wanted.Select(p => new TopicPartition(Simulation.NameOf(p.TopicId), p.Partition))],
        };
        // Clients of the classic protocol do not say who asks.
        if (Simulation.Chance(50))
            request = request with { MemberId = MemberId, MemberEpoch = Epoch };
        int[] known = [.. wanted.Select(Simulation.Offsets.KnownOf)];
        Simulation.Call(this, request, GroupSimulation.RequestTimeoutMs, answer =>
        {
            _isFetching = false;
            if (answer is not OffsetFetchResult { Error: ErrorCode.None } result)
                return;
            for (var i = 0; i < wanted.Length; i++)
            {
                var fetched = result.Partitions[i];
                if (fetched.Error == ErrorCode.None && fetched.TopicId == wanted[i].TopicId)
                    Simulation.Offsets.OnFetched(wanted[i], fetched.Offset, known[i]);
                // What was committed for a topic of that name that is gone is no place in this one.
                if (Held.Contains(wanted[i]) && fetched.Error == ErrorCode.None
                    && (fetched.Offset is null || fetched.TopicId == wanted[i].TopicId))
                    _positions.TryAdd(wanted[i], fetched.Offset?.Offset ?? 0);
            }
        });
    }

    /// <summary>Commits how far it came; one commit in flight.</summary>
    protected void Commit(Action? then)
    {
        var offsets = new List<PartitionOffset>();
        var words = $"{Number}#{++_commits}";
        if (!_isCommitting && Epoch >= 0)
        {
            foreach (var partition in Held)
            {
                if (_positions.TryGetValue(partition, out var position) && Simulation.Chance(70))
                {
                    _positions[partition] = position += 1 + Simulation.Next(5);
                    offsets.Add(new PartitionOffset(Simulation.NameOf(partition.TopicId), partition.Partition,
                        new CommittedOffset(position, 0, words), partition.TopicId));
                }
            }
        }
        if (offsets.Count == 0)
        {
            then?.Invoke();
            return;
        }
        _isCommitting = true;
        var request = new OffsetCommit
        {
            GroupId = GroupSimulation.GroupId,
            MemberId = MemberId,
            GenerationIdOrMemberEpoch = Epoch,
            GroupInstanceId = InstanceId,
            Offsets = offsets,
        };
        Simulation.Call(this, request, GroupSimulation.RequestTimeoutMs, answer =>
        {
            _isCommitting = false;
            if (answer is OffsetCommitResult result)
                OnCommitAnswered(result.Partitions[0].Error, request.GenerationIdOrMemberEpoch);
            then?.Invoke();
        });
    }

    protected abstract void OnCommitAnswered(ErrorCode error, int epoch);
}
