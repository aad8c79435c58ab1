using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>A request to a partition's leader.</summary>
/// <param name="Key">The partition.</param>
/// <param name="Kind">The kind of request.</param>
/// <param name="Replicas">The brokers that will hold the partition; for a handover, the one that will lead it.</param>
internal readonly record struct RebalanceAction(ReplicaKey Key, RebalanceActionKind Kind, ImmutableArray<int> Replicas);

/// <summary>A rebalance that is due without a request.</summary>
/// <param name="Reason">Its cause.</param>
/// <param name="IsGrowth">Whether replicas are added and nothing is moved.</param>
internal readonly record struct DueRebalance(string Reason, bool IsGrowth)
{
    /// <summary>Plans it.</summary>
    public RebalancePlan Plan(ClusterImage image, string planId) =>
        IsGrowth ? RebalancePlanner.PlanGrowth(image, planId) : RebalancePlanner.Plan(image, planId);
}

/// <summary>The kind of a request.</summary>
internal enum RebalanceActionKind
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Begin to move the partition.</summary>
    Reassign = 1,
    /// <summary>Hand its leadership over.</summary>
    HandOver = 2,
}

/// <summary>
/// Decides the next step of a rebalance: reads from the image which moves are complete, and starts waiting ones as far as the throttle
/// permits. Evaluated whenever the image changes or time passes. A lost action is decided again, so every action must be idempotent. Pure.
/// </summary>
internal static class RebalanceDecision
{
    /// <summary>Decides on the next actions.</summary>
    /// <param name="job">The running rebalance.</param>
    /// <param name="image">The cluster.</param>
    /// <param name="now">The current time.</param>
    /// <param name="isSettled">Whether the set of live brokers has not changed for a while: an automatic rebalance then gives up moves
    /// that wait for a broker.</param>
    /// <param name="isAbandoned">Whether a partition has had no leader for a while: an automatic rebalance then gives up its move. A
    /// handover leaves a partition without a leader for a moment.</param>
    /// <returns>The updated rebalance (this instance if nothing changes), and the requests to send once that is stored.</returns>
    public static (RebalanceJob Job, IReadOnlyList<RebalanceAction> Actions) Next(RebalanceJob job, ClusterImage image, DateTimeOffset now,
        bool isSettled = false, Func<ReplicaKey, bool>? isAbandoned = null)
    {
        bool IsHopeless(RebalanceStep step) => job.IsAutomatic
            && ((isSettled && LacksBroker(step, image)) || (isAbandoned?.Invoke(step.Key) ?? false));

        var actions = new List<RebalanceAction>();
        var steps = job.Steps.ToBuilder();
        for (var index = 0; index < steps.Count; index++)
        {
            if (steps[index].State == RebalanceStepState.Moving)
                steps[index] = IsHopeless(steps[index])
                    ? GiveUp(steps[index], image, actions)
                    : Watch(steps[index], image, job.State == RebalanceState.Cancelling, actions);
        }
        var free = job.MaxPartitions - steps.Count(step => step.State == RebalanceStepState.Moving);
        for (var index = 0; index < steps.Count; index++)
        {
            if (steps[index].State != RebalanceStepState.Waiting)
                continue;
            if (job.State == RebalanceState.Cancelling || IsHopeless(steps[index]))
                steps[index] = steps[index] with { State = RebalanceStepState.Skipped };
            else if (free > 0 && !(job.IsAutomatic && (LacksBroker(steps[index], image) || LacksLeader(steps[index], image))))
            {
                steps[index] = Watch(steps[index] with { State = RebalanceStepState.Moving }, image, isCancelling: false, actions);
                free -= steps[index].IsOver ? 0 : 1;
            }
        }
        var isOver = steps.All(step => step.IsOver);
        if (!isOver && steps.SequenceEqual(job.Steps))
            return (job, actions);
        var next = job with { Steps = steps.ToImmutable() };
        return isOver
            ? (next with { State = job.State == RebalanceState.Cancelling ? RebalanceState.Cancelled : RebalanceState.Completed,
                FinishedAt = now }, actions)
            : (next, actions);
    }

    /// <summary>Lists the leaders to move before anything is copied: those on draining brokers, if another in-sync replica can
    /// lead.</summary>
    public static IReadOnlyList<RebalanceAction> LeadersToMove(ClusterImage image)
    {
        var actions = new List<RebalanceAction>();
        foreach (var (topic, number, partition) in image.AllPartitions())
        {
            if (!IsDraining(image, partition.Leader))
                continue;
            var heir = partition.Holders.FirstOrDefault(id => partition.Isr.Contains(id) && image.IsAlive(id) && !IsDraining(image, id),
                -1);
            if (heir >= 0)
                actions.Add(new RebalanceAction(new ReplicaKey(topic.TopicId, number), RebalanceActionKind.HandOver, [heir]));
        }
        return actions;
    }

    /// <summary>Lists what is due without a request, in the order in which it is done. Draining brokers that hold replicas are emptied
    /// first. Then topics that have fewer replicas than intended are given them. If automatic rebalancing is on, a broker that holds less
    /// than half its share gets more last; what the last rebalance has given up is planned again however little it is.</summary>
    /// <param name="image">The cluster.</param>
    /// <param name="last">The last rebalance; null for none.</param>
    public static IEnumerable<DueRebalance> WhatIsDue(ClusterImage image, RebalanceJob? last = null)
    {
        var held = image.AllPartitions().SelectMany(found => found.Partition.Holders).GroupBy(id => id)
            .ToDictionary(group => group.Key, group => group.Count());
        if (image.Brokers.Keys.FirstOrDefault(id => IsDraining(image, id) && held.ContainsKey(id), -1) is >= 0 and var drained)
            yield return new DueRebalance($"broker {drained} is drained", IsGrowth: false);
        if (ReplicaGrowth.WhyDue(image) is { } growth)
            yield return new DueRebalance(growth, IsGrowth: true);
        if ((WhyUneven(image, held) ?? WhyIncomplete(image, last)) is { } uneven)
            yield return new DueRebalance(uneven, IsGrowth: false);
    }

    private static string? WhyUneven(ClusterImage image, Dictionary<int, int> held)
    {
        var taking = image.Brokers.Where(entry => entry.Value.TakesReplicas).Select(entry => entry.Key).ToArray();
        if (!image.AutoRebalance || taking.Length == 0)
            return null;
        var share = taking.Sum(id => held.GetValueOrDefault(id)) / (double)taking.Length;
        return share >= 1 && taking.FirstOrDefault(id => held.GetValueOrDefault(id) < share / 2, -1) is >= 0 and var poor
            ? $"broker {poor} holds less than half its share"
            : null;
    }

    private static string? WhyIncomplete(ClusterImage image, RebalanceJob? last) => image.AutoRebalance && last is { IsIncomplete: true }
        ? $"rebalance '{last.PlanId}' has given up moves"
        : null;

    /// <summary>Whether the partition has no leader at the moment.</summary>
    public static bool LacksLeader(RebalanceStep step, ClusterImage image) =>
        image.TryGetPartition(step.Key, out _, out var partition) && partition.Leader < 0;

    // A broker that is to take a replica is dead, gone or being drained.
    private static bool LacksBroker(RebalanceStep step, ClusterImage image) => step.To.Any(id =>
        !step.From.Contains(id) && !(image.Brokers.TryGetValue(id, out var broker) && broker.TakesReplicas));

    private static bool IsDraining(ClusterImage image, int broker) => image.Brokers.TryGetValue(broker, out var found) && found.IsDraining;

    private static RebalanceStep Watch(RebalanceStep step, ClusterImage image, bool isCancelling, List<RebalanceAction> actions)
    {
        var key = step.Key;
        if (!image.TryGetPartition(key, out _, out var partition))
            return step with { State = RebalanceStepState.Skipped };
        if (partition.Target.IsEmpty && partition.Replicas.AsSpan().SequenceEqual(step.To.AsSpan()))
            return Arrived(step, key, partition, image, actions);
        if (isCancelling)
            return TakeBack(step, key, partition, actions);
        if (IsTarget(partition, step.To))
            return step;
        // A partition that an earlier plan is moving to this target continues from there.
        if (!partition.Target.IsEmpty && !IsTarget(partition, step.From))
            return step with { State = RebalanceStepState.Skipped };
        if (partition.Target.IsEmpty && !partition.Replicas.AsSpan().SequenceEqual(step.From.AsSpan()))
            return step with { State = RebalanceStepState.Skipped };
        // A leader that is to leave hands over first, if a replica that stays can lead. Otherwise all data would be copied from the leaving
        // broker.
        if (!step.To.Contains(partition.Leader)
            && step.To.FirstOrDefault(broker => partition.Isr.Contains(broker) && image.IsAlive(broker), -1) is >= 0 and var heir
            && partition.Leader >= 0)
            actions.Add(new RebalanceAction(key, RebalanceActionKind.HandOver, [heir]));
        else
            actions.Add(new RebalanceAction(key, RebalanceActionKind.Reassign, step.To));
        return step;
    }

    private static RebalanceStep Arrived(RebalanceStep step, ReplicaKey key, ImagePartition partition, ClusterImage image,
        List<RebalanceAction> actions)
    {
        if (partition.Leader != step.To[0] && partition.Isr.Contains(step.To[0]) && image.IsAlive(step.To[0]))
            actions.Add(new RebalanceAction(key, RebalanceActionKind.HandOver, [step.To[0]]));
        return step with { State = RebalanceStepState.Done };
    }

    // Without a leader nothing can be asked: what has begun goes on by itself when there is one.
    private static RebalanceStep GiveUp(RebalanceStep step, ClusterImage image, List<RebalanceAction> actions) =>
        image.TryGetPartition(step.Key, out _, out var partition) && partition.Leader >= 0
            ? TakeBack(step, step.Key, partition, actions)
            : step with { State = RebalanceStepState.Skipped };

    private static RebalanceStep TakeBack(RebalanceStep step, ReplicaKey key, ImagePartition partition, List<RebalanceAction> actions)
    {
        if (partition.Target.IsEmpty || !IsTarget(partition, step.To))
            return step with { State = RebalanceStepState.Skipped };
        actions.Add(new RebalanceAction(key, RebalanceActionKind.Reassign, step.From));
        return step;
    }

    private static bool IsTarget(ImagePartition partition, ImmutableArray<int> replicas) =>
        partition.Target.AsSpan().SequenceEqual(replicas.AsSpan());
}
