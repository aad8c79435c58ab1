using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A process that is a member of the group: it joins, reads its partitions, and commits. A restart is a new object.</summary>
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
    /// <summary>The end of a pause, during which it does nothing, without knowing so afterwards.</summary>
    public long PausedUntil { get; set; }
    public bool IsCutOff { get; set; }
    /// <summary>Counts the connections to coordinators.</summary>
    public int Connection { get; private set; }
    public SimulatedCoordinator? Coordinator { get; private set; }
    /// <summary>The arrival time of the last request that keeps its order.</summary>
    public long LastArrival { get; set; }

    /// <summary>The member id, assigned by the coordinator or chosen by the member; empty before.</summary>
    public string MemberId { get; protected set; } = "";
    /// <summary>The generation or member epoch that it believes in; -1 for none.</summary>
    public int Epoch { get; protected set; } = -1;
    /// <summary>The partitions that it reads.</summary>
    public HashSet<TopicIdPartition> Held { get; } = [];
    /// <summary>The partitions that it reads by name alone: a classic member mistakes another topic of the same name for its own.</summary>
    public HashSet<TopicIdPartition> Assumed { get; } = [];
    /// <summary>The topics that it sees, by name.</summary>
    protected IReadOnlyDictionary<string, SimulatedTopic> View { get; private set; } = new Dictionary<string, SimulatedTopic>();
    /// <summary>The subscribed topic names; unused with a regular expression.</summary>
    public SortedSet<string> Names { get; } = new(StringComparer.Ordinal);
    public bool UsesRegex { get; set; }

    public bool Subscribes(string topic) => UsesRegex ? GroupSimulation.Matches(topic) : Names.Contains(topic);

    /// <summary>Whether it has joined and nothing is in progress.</summary>
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

    /// <summary>The subscription changed.</summary>
    public abstract void OnSubscriptionChanged();

    /// <summary>Leaves the group and ends.</summary>
    public abstract void Leave();

    /// <summary>Ends without leaving.</summary>
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

    /// <summary>Its membership was lost, and its partitions may belong to another member.</summary>
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

    // Reads on, and commits its position.
    private void Work()
    {
        Simulation.AfterOn(this, 1 + Simulation.Next(2 * Scenario.CommitEveryMs), Work);
        if (Epoch < 0 || Held.Count == 0)
            return;
        // It returns to the committed offset, as after an application error.
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
        // Clients of the classic protocol do not identify themselves.
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
                // An offset committed for a deleted topic of that name does not apply to this one.
                if (Held.Contains(wanted[i]) && fetched.Error == ErrorCode.None
                    && (fetched.Offset is null || fetched.TopicId == wanted[i].TopicId))
                    _positions.TryAdd(wanted[i], fetched.Offset?.Offset ?? 0);
            }
        });
    }

    /// <summary>Commits the position, with one commit in flight.</summary>
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
            {
                for (var i = 0; i < offsets.Count; i++)
                {
                    if (result.Partitions[i].Error == ErrorCode.None)
                        Simulation.Offsets.OnAcknowledgementArrived(offsets[i]);
                }
                OnCommitAnswered(result.Partitions[0].Error, request.GenerationIdOrMemberEpoch);
            }
            then?.Invoke();
        });
    }

    protected abstract void OnCommitAnswered(ErrorCode error, int epoch);
}
