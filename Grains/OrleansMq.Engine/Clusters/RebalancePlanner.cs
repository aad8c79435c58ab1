using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>
/// Plans the moves after which every broker holds and leads its share, copying as little data as possible. The steps are, in this order:
/// move replicas away from draining or removed brokers; put replicas of a partition on separate racks; move replicas from brokers above
/// their share to brokers below it; and, without copying, change preferred leaders. Replicas on dead brokers stay, since these brokers are
/// expected back. Pure.
/// </summary>
internal sealed class RebalancePlanner
{
    // A rebalance is one document, written at each of its steps. What is left is planned when it has ended.
    private const int MostGrowing = 500;

    private readonly ClusterImage _image;
    private readonly BrokerLoads _loads;
    private readonly Dictionary<ReplicaKey, Placement> _placements = [];

    private RebalancePlanner(ClusterImage image)
    {
        _image = image;
        _loads = new BrokerLoads(image);
        foreach (var (topic, number, partition) in image.AllPartitions())
        {
            var replicas = partition.Target.IsEmpty ? partition.Replicas : partition.Target;
            _placements.Add(new ReplicaKey(topic.TopicId, number), new Placement(topic, number, replicas));
        }
    }

    /// <summary>Makes a plan.</summary>
    /// <param name="image">The cluster.</param>
    /// <param name="planId">The plan's id.</param>
    public static RebalancePlan Plan(ClusterImage image, string planId)
    {
        var planner = new RebalancePlanner(image);
        return planner.Describe(planId, () =>
        {
            planner.MoveAway();
            planner.SpreadOverRacks();
            planner.LevelReplicas();
            planner.LevelLeaders();
        });
    }

    /// <summary>Makes a plan that adds the replicas of topics that have fewer than intended, in some hundred partitions, and moves nothing.
    /// </summary>
    /// <param name="image">The cluster.</param>
    /// <param name="planId">The plan's id.</param>
    public static RebalancePlan PlanGrowth(ClusterImage image, string planId)
    {
        var planner = new RebalancePlanner(image);
        return planner.Describe(planId, planner.Grow);
    }

    private RebalancePlan Describe(string planId, Action plan)
    {
        var before = _loads.All.ToDictionary(load => load.Broker, load => (load.Replicas, load.Leaders));
        plan();
        var moves = _placements.Values.Where(placement => placement.IsChanged).Select(placement => placement.ToMove()).ToArray();
        var shares = _loads.All.Select(load =>
            new BrokerShare(load.Broker, before[load.Broker].Replicas, load.Replicas, before[load.Broker].Leaders, load.Leaders));
        return new RebalancePlan(planId, moves, [.. shares], Summarize(moves));
    }

    private static string Summarize(RebalanceMove[] moves)
    {
        if (moves.Length == 0)
            return "Every broker holds and leads its share: nothing is to be moved.";
        var copied = moves.Sum(move => move.To.Except(move.From).Count());
        return $"{Count(moves.Length, "partition")} change{(moves.Length == 1 ? "s" : "")}: {Count(copied, "replica")} to copy, "
            + $"{Count(moves.Count(move => move.To[0] != move.From[0]), "preferred leader")} to change.";
    }

    private static string Count(int count, string what) => $"{count} {what}{(count == 1 ? "" : "s")}";

    private void Grow()
    {
        var taking = _loads.Taking.Count();
        var growing = 0;
        foreach (var (key, placement) in _placements)
        {
            if (growing == MostGrowing)
                return;
            if (!_image.TryGetPartition(key, out var topic, out var partition)
                || !ReplicaGrowth.CanGrow(_image, topic, partition, taking))
                continue;
            while (placement.Replicas.Length < topic.IntendedReplicationFactor && BestFor(placement, leaving: null) is { } target)
                Change(placement, changed =>
                    changed.Add(target, $"topic '{topic.Name}' is to have {topic.IntendedReplicationFactor} replicas"));
            growing += placement.IsChanged ? 1 : 0;
        }
    }

    private void MoveAway()
    {
        foreach (var placement in _placements.Values)
        {
            foreach (var broker in placement.Replicas.Where(MustLeave).ToArray())
            {
                if (BestFor(placement, leaving: broker) is { } target)
                    Move(placement, broker, target, _image.Brokers.ContainsKey(broker) ? $"broker {broker} is drained"
                        : $"broker {broker} is gone");
            }
        }
    }

    private bool MustLeave(int broker) => !_image.Brokers.TryGetValue(broker, out var found) || found.IsDraining;

    private void SpreadOverRacks()
    {
        foreach (var placement in _placements.Values)
        {
            // The later one of two replicas on one rack is moved, so that the preferred leader stays.
            for (var index = placement.Replicas.Length - 1; index > 0; index--)
            {
                var broker = placement.Replicas[index];
                var isShared = placement.Replicas.Any(other => other != broker && _loads.RackOf(other) == _loads.RackOf(broker));
                if (isShared && _loads.TakesReplicas(broker) && BestFor(placement, broker) is { } target
                    && RacksAfter(placement, broker, target) > _loads.CountRacks(placement.Replicas))
                    Move(placement, broker, target, $"two replicas stand in {_loads.RackOf(broker)}");
            }
        }
    }

    // Moves replicas from the fullest to the emptiest broker as long as that reduces the difference. A broker keeps its surplus if every
    // move would put two replicas of a partition on one rack.
    private void LevelReplicas()
    {
        while (Pairs().Select(pair => (pair.From, pair.To, Placement: Movable(pair.From.Broker, pair.To.Broker)))
            .FirstOrDefault(found => found.Placement is not null) is { Placement: { } placement } move)
            Move(placement, move.From.Broker, move.To.Broker,
                $"broker {move.From.Broker} holds more than its share, broker {move.To.Broker} less");
    }

    private IEnumerable<(BrokerLoads.Load From, BrokerLoads.Load To)> Pairs() =>
        from source in _loads.Taking.OrderByDescending(load => load.Replicas)
        from target in _loads.Taking.OrderBy(load => load.Replicas)
        where source.Replicas - target.Replicas > 1
        orderby source.Replicas - target.Replicas descending
        select (source, target);

    // Prefers a partition of the topic whose replicas are spread most unevenly between the two brokers, so that each topic is spread too.
    // Prefers a follower over a leader, unless the source leads more partitions than the target.
    private Placement? Movable(int from, int to)
    {
        var leadsMore = _loads.Find(from)!.Leaders > _loads.Find(to)!.Leaders;
        var perTopic = _placements.Values.GroupBy(placement => placement.Topic.TopicId).ToDictionary(group => group.Key,
            group => group.Count(placement => placement.Replicas.Contains(from))
            - group.Count(placement => placement.Replicas.Contains(to)));
        return _placements.Values
            .Where(placement => placement.Replicas.Contains(from) && !placement.Replicas.Contains(to)
                && RacksAfter(placement, from, to) >= _loads.CountRacks(placement.Replicas))
            .OrderBy(placement => placement.CostOf(from, to))
            .ThenByDescending(placement => perTopic[placement.Topic.TopicId])
            .ThenBy(placement => placement.Replicas[0] == from != leadsMore)
            .FirstOrDefault();
    }

    // Moves leadership along the shortest chain from a broker that leads too many partitions to one that leads at least two fewer. Each
    // broker in the chain passes on one partition that the next one already holds. If there is no such chain, no other choice of preferred
    // leaders is more even.
    private void LevelLeaders()
    {
        while (_loads.Taking.OrderByDescending(load => load.Leaders).Select(ChainFrom)
            .FirstOrDefault(chain => chain is not null) is { } chain)
        {
            foreach (var (placement, broker) in chain)
                Change(placement, changed => changed.Lead(broker, $"broker {broker} leads less than its share"));
        }
    }

    private List<(Placement, int)>? ChainFrom(BrokerLoads.Load source)
    {
        var reachedBy = new Dictionary<int, (Placement Placement, int From)>();
        var open = new Queue<int>([source.Broker]);
        var led = _placements.Values.ToLookup(placement => placement.Replicas[0]);
        while (open.TryDequeue(out var broker))
        {
            if (broker != source.Broker && source.Leaders - _loads.Find(broker)!.Leaders > 1)
                return Chain(reachedBy, source.Broker, broker);
            foreach (var placement in led[broker])
            {
                foreach (var next in placement.Replicas.Skip(1).Where(next => next != source.Broker && _loads.TakesReplicas(next)))
                {
                    if (reachedBy.TryAdd(next, (placement, broker)))
                        open.Enqueue(next);
                }
            }
        }
        return null;
    }

    private static List<(Placement, int)> Chain(Dictionary<int, (Placement Placement, int From)> reachedBy, int source, int end)
    {
        var chain = new List<(Placement, int)>();
        for (var broker = end; broker != source; broker = reachedBy[broker].From)
            chain.Add((reachedBy[broker].Placement, broker));
        return chain;
    }

    private int? BestFor(Placement placement, int? leaving) => _loads.Taking
        .Where(load => !placement.Replicas.Contains(load.Broker))
        .OrderByDescending(load => RacksAfter(placement, leaving, load.Broker))
        .ThenBy(load => load.Replicas)
        .Select(load => (int?)load.Broker)
        .FirstOrDefault();

    private int RacksAfter(Placement placement, int? leaving, int joining) =>
        _loads.CountRacks(placement.Replicas.Where(broker => broker != leaving).Append(joining));

    private void Move(Placement placement, int from, int to, string reason) =>
        Change(placement, changed => changed.Replace(from, to, reason));

    private void Change(Placement placement, Action<Placement> change)
    {
        _loads.Remove(placement.Replicas);
        change(placement);
        _loads.Add(placement.Replicas);
    }

    /// <summary>A partition during planning.</summary>
    private sealed class Placement(ImageTopic topic, int number, ImmutableArray<int> replicas)
    {
        private readonly ImmutableArray<int> _before = replicas;
        private readonly List<string> _reasons = [];

        public ImageTopic Topic => topic;

        public ImmutableArray<int> Replicas { get; private set; } = replicas;

        public bool IsChanged => !Replicas.SequenceEqual(_before);

        /// <summary>Returns the change in the number of replicas to copy. A planned replica that is not copied yet can be placed elsewhere
        /// at no cost.</summary>
        public int CostOf(int from, int to) => (_before.Contains(to) ? 0 : 1) - (_before.Contains(from) ? 0 : 1);

        public void Replace(int from, int to, string reason)
        {
            Replicas = Replicas.Replace(from, to);
            _reasons.Add(reason);
        }

        public void Add(int broker, string reason)
        {
            Replicas = Replicas.Add(broker);
            _reasons.Add(reason);
        }

        public void Lead(int broker, string reason)
        {
            Replicas = Replicas.Remove(broker).Insert(0, broker);
            _reasons.Add(reason);
        }

        public RebalanceMove ToMove() => new(topic.Name, number, _before, Replicas, string.Join("; ", _reasons.Distinct()));
    }
}
