using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

/// <summary>Administration of brokers and replicas, beside the cluster's grain. It checks requests against the image, then asks the
/// partitions' leaders. Thread safe.</summary>
internal sealed class ClusterAdministration(SiloBroker broker, ClusterController cluster, RebalanceRunner runner,
    ClusterMembership membership, ReplicaServices replicas, LeaderServiceClient leaders, IGrainFactory grains) : IClusterAdministration
{
    private const int ElectionsAtATime = 16;
    private const int MostPlans = 20;
    private static readonly TimeSpan PlanTime = TimeSpan.FromHours(1);
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<string, (RebalancePlan Plan, long MadeAt)> _plans = new();

    private TimeProvider Time => broker.Options.TimeProvider;

    /// <inheritdoc/>
    public async ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> targets,
        CancellationToken cancellationToken)
    {
        var image = cluster.Image;
        var state = Reassignments.Check(image, partition, targets, MinInsyncOf(image, partition.Topic)).Next;
        if (targets.SequenceEqual(state.Target.IsEmpty ? state.Replicas : state.Target))
            return Reassignments.Describe(partition.Topic, partition.Partition, state with { Target = [.. targets] });
        var leader = LeaderOf(partition, image);
        // A leader that is to be removed first hands over to a target that is in sync, if there is one.
        var heir = targets.FirstOrDefault(id => state.Isr.Contains(id) && image.IsAlive(id), -1);
        if (state.Leader >= 0 && !targets.Contains(state.Leader) && heir >= 0)
            await TryHandOverAsync(leader, partition, heir);
        await ReassignAsync(leader, [.. targets], cancellationToken);
        return Reassignments.Describe(partition.Topic, partition.Partition, state with { Target = [.. targets] });
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken) =>
        new(Reassignments.List(cluster.Image));

    /// <inheritdoc/>
    public async ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        var image = cluster.Image;
        var state = Reassignments.Find(image, partition).Next;
        if (state.Target.IsEmpty)
            throw new BrokerException(ErrorCode.NoReassignmentInProgress,
                $"Partition {partition} is not being moved: there is nothing to cancel.");
        await ReassignAsync(LeaderOf(partition, image),
            [.. Reassignments.Origin(state, image.FindServed(partition.Topic)!.ReplicationFactor)], cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic, int? partition,
        CancellationToken cancellationToken)
    {
        var image = cluster.Image;
        if (topic is null && partition is not null)
            throw new BrokerException(ErrorCode.InvalidRequest,
                $"Partition {partition} of which topic? Name the topic, or leave the partition out.");
        if (topic is not null)
        {
            var named = Reassignments.Find(image, new TopicPartition(topic, partition ?? 0)).Next;
            if (partition is { } number && named.Leader == named.Replicas[0])
                return [new LeaderElection(topic, number, named.Leader, ErrorCode.ElectionNotNeeded,
                    "Its preferred replica leads it already.")];
        }
        var elections = new ConcurrentBag<LeaderElection>();
        await Parallel.ForEachAsync(Reassignments.NotPreferred(image, topic, partition),
            new ParallelOptions { MaxDegreeOfParallelism = ElectionsAtATime },
            async (found, _) => elections.Add(await ElectPreferredAsync(found.Partition, image, found.State.Leader)));
        return [.. elections.OrderBy(election => election.Topic, StringComparer.Ordinal).ThenBy(election => election.Partition)];
    }

    /// <inheritdoc/>
    public async ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? candidate, CancellationToken cancellationToken)
    {
        var image = cluster.Image;
        var state = Reassignments.Find(image, partition).Next;
        var key = KeyOf(partition, image);
        if (await LedByAsync(key) is { } leading)
            throw new BrokerException(ErrorCode.ElectionNotNeeded,
                $"Partition {partition} is led by broker {leading}: an unclean election is not needed.");
        if (candidate is { } named && !state.Holders.Contains(named))
            throw new BrokerException(ErrorCode.InvalidReplicaAssignment,
                $"Broker {named} does not hold partition {partition}: name one of {string.Join(", ", state.Holders)}.");
        var chosen = candidate ?? await LeastLossAsync(partition, key, state);
        var address = membership.AddressOf(chosen)
            ?? throw new BrokerException(ErrorCode.BrokerNotAvailable,
                $"Broker {chosen} is not alive: start it, or name another that holds partition {partition}.");
        await leaders.Of(address).LeadUncleanAsync(GrainKeys.Partition(key.TopicId, key.Partition));
        broker.Log(EngineLogLevel.Warning, $"Unclean election of broker {chosen} for partition {partition} was requested and completed.");
        return new LeaderElection(partition.Topic, partition.Partition, chosen,
            Message: "Records that only other replicas had are lost; the broker's log says from "
            + "which offset on.");
    }

    /// <inheritdoc/>
    public ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken)
    {
        foreach (var (id, known) in _plans.OrderBy(entry => entry.Value.MadeAt))
        {
            if (_plans.Count >= MostPlans || Time.GetElapsedTime(known.MadeAt) > PlanTime)
                _plans.TryRemove(id, out _);
        }
        var plan = RebalancePlanner.Plan(cluster.Image, Guid.NewGuid().ToString("N")[..8]);
        _plans[plan.PlanId] = (plan, Time.GetTimestamp());
        return new(plan);
    }

    /// <inheritdoc/>
    public async ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle,
        CancellationToken cancellationToken)
    {
        Check(throttle ??= new RebalanceThrottle());
        if (!_plans.TryGetValue(planId, out var known) || Time.GetElapsedTime(known.MadeAt) > PlanTime)
            throw new BrokerException(ErrorCode.InvalidRequest,
                $"There is no plan '{planId}', or it has expired. Make a new plan and review it.");
        var status = await runner.BeginAsync(known.Plan, "asked for", throttle, isAutomatic: false);
        _plans.TryRemove(planId, out _);
        return status;
    }

    /// <inheritdoc/>
    public async ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken) => await runner.DescribeAsync();

    /// <inheritdoc/>
    public async ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken) => await runner.CancelAsync();

    /// <inheritdoc/>
    public async ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken) =>
        await ChangeRegistryAsync(before => before.AutoRebalance == enabled ? before : before with { AutoRebalance = enabled });

    /// <inheritdoc/>
    public async ValueTask<RebalanceStatus> DrainBrokerAsync(int drained, CancellationToken cancellationToken)
    {
        var replicationFactor = cluster.Image.AllPartitions().Where(found => found.Partition.Holders.Contains(drained))
            .Select(found => Math.Max(found.Partition.Replicas.Length, found.Partition.Target.Length)).DefaultIfEmpty(0).Max();
        await ChangeRegistryAsync(before => before.Drain(drained, replicationFactor, membership.IsActive).Next);
        var plan = RebalancePlanner.Plan(cluster.Image, $"{PlanOf(drained)}{Guid.NewGuid():N}"[..(PlanOf(drained).Length + 6)]);
        return await runner.BeginAsync(plan, $"broker {drained} is drained", new RebalanceThrottle(), isAutomatic: true);
    }

    /// <inheritdoc/>
    public async ValueTask ResumeBrokerAsync(int resumed, CancellationToken cancellationToken)
    {
        await ChangeRegistryAsync(before => before.Resume(resumed).Next);
        if (await runner.DescribeAsync() is { State: RebalanceState.Running } running
            && running.PlanId.StartsWith(PlanOf(resumed), StringComparison.Ordinal))
            await runner.CancelAsync();
    }

    /// <inheritdoc/>
    public async ValueTask RemoveBrokerAsync(int removed, CancellationToken cancellationToken)
    {
        var held = cluster.Image.AllPartitions().Count(found => found.Partition.Holders.Contains(removed));
        await ChangeRegistryAsync(before => before.Remove(removed, held, membership.IsAlive(removed)).Next);
    }

    private int MinInsyncOf(ClusterImage image, string topic) => image.FindServed(topic) is { } served
        && TopicConfigRules.Parse(served.Configs, broker.Options.TopicDefaults.ForReplicas(served.ReplicationFactor)) is { IsAccepted: true,
            Next: var config }
            ? config.MinInsyncReplicas
            : 1;

    private Task ChangeRegistryAsync(Func<BrokerRegistry, BrokerRegistry> change) => cluster.ChangeRegistryAsync(change, AnswerTimeout);

    private static string PlanOf(int drained) => $"drain-{drained}-";

    private static void Check(RebalanceThrottle throttle)
    {
        if (throttle.MaxPartitions is < 1 or > 1000)
            throw new BrokerException(ErrorCode.InvalidRequest,
                $"The throttle's number of partitions at a time must be from 1 to 1000, not {throttle.MaxPartitions}.");
        if (throttle.MaxBytesPerSecond < 0)
            throw new BrokerException(ErrorCode.InvalidRequest,
                $"The throttle's bytes per second must be at least 1, or 0 for no limit, not {throttle.MaxBytesPerSecond}.");
    }

    private async Task<LeaderElection> ElectPreferredAsync(TopicPartition partition, ClusterImage image, int before)
    {
        try
        {
            return new LeaderElection(partition.Topic, partition.Partition, await LeaderOf(partition, image).ElectPreferredAsync());
        }
        catch (BrokerException refused)
        {
            return new LeaderElection(partition.Topic, partition.Partition, before, refused.Code, refused.Message);
        }
        catch (Exception unanswered) when (unanswered is TimeoutException or OrleansException)
        {
            return new LeaderElection(partition.Topic, partition.Partition, before, ErrorCode.RequestTimedOut,
                $"Its leader did not answer; whether another leads now is unknown. Retry. ({unanswered.Message})");
        }
    }

    // The broker that reports itself as leader; null if there is none and none can lead without risk.
    private async Task<int?> LedByAsync(ReplicaKey key)
    {
        try
        {
            return await grains.GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(key.TopicId, key.Partition)).LeadAsync();
        }
        catch (Exception nobody) when (nobody is BrokerException or TimeoutException or OrleansException)
        {
            return null;
        }
    }

    private async Task<int> LeastLossAsync(TopicPartition partition, ReplicaKey key, ImagePartition state)
    {
        var answers = await Task.WhenAll(state.Holders.Where(membership.IsActive).Select(async id => await ReportAsync(id, key)));
        var reports = answers.OfType<ReplicaReport>().Where(report => report.OfflineReason is null).ToArray();
        var silent = state.Isr.Except(reports.Select(report => report.Identity.Broker)).ToArray();
        if (reports.Length == 0 || silent.Length > 0)
        {
            throw new BrokerException(ErrorCode.EligibleLeadersNotAvailable, reports.Length == 0
                ? $"No broker that holds partition {partition} answers: start one of {string.Join(", ", state.Holders)}."
                : $"Broker {string.Join(", ", silent)}, in sync with partition {partition}, does not answer, and may hold what no other "
                    + "does. Start it, or name the broker that is to lead all the same, "
                    + $"one of {string.Join(", ", reports.Select(report => report.Identity.Broker))}.");
        }
        return reports.OrderByDescending(report => report.LastEpoch).ThenByDescending(report => report.LogEndOffset)
            .First().Identity.Broker;
    }

    private async Task<ReplicaReport?> ReportAsync(int asked, ReplicaKey key)
    {
        using var timeout = new CancellationTokenSource(AnswerTimeout);
        try
        {
            return (await replicas.ReportAsync(asked, [key], timeout.Token)).FirstOrDefault();
        }
        catch (Exception unanswered)
            when (unanswered is TimeoutException or OrleansException or BrokerException or OperationCanceledException)
        {
            return null;
        }
    }

    // If this fails, the present leader begins the move and hands over at its end.
    private async Task TryHandOverAsync(IPartitionLeaderGrain leader, TopicPartition partition, int heir)
    {
        try
        {
            await leader.HandOverAsync(heir);
        }
        catch (BrokerException notReady) when (notReady.Action == ErrorAction.Retry)
        {
            broker.Log(EngineLogLevel.Information, $"Partition {partition} moves under its present leader: {notReady.Message}");
        }
    }

    // Just after a leadership change, a call may still reach the former leader's activation, which does nothing then.
    private async Task ReassignAsync(IPartitionLeaderGrain leader, int[] targets, CancellationToken cancellationToken)
    {
        var patience = new GrainBrokerOptions { TimeProvider = Time };
        if (await LeaderPatience.RetryAsync(patience, TryAsync, static refused => refused?.Code ?? ErrorCode.None,
            cancellationToken) is { } refused)
            throw new BrokerException(refused.Code, refused.Message, refused);

        async ValueTask<BrokerException?> TryAsync()
        {
            try
            {
                await leader.ReassignAsync(targets);
                return null;
            }
            catch (BrokerException refusal)
            {
                return refusal;
            }
        }
    }

    private IPartitionLeaderGrain LeaderOf(TopicPartition partition, ClusterImage image)
    {
        var key = KeyOf(partition, image);
        return grains.GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(key.TopicId, key.Partition));
    }

    private static ReplicaKey KeyOf(TopicPartition partition, ClusterImage image) => new(image.Names[partition.Topic], partition.Partition);
}
