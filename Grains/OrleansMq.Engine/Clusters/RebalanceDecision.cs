using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>What to ask of a partition's leader.</summary>
/// <param name="Key">Which partition.</param>
/// <param name="Kind">What to do.</param>
/// <param name="Replicas">Whom it is about: the brokers that are to hold it; of a handover, the one that is to lead.</param>
public readonly record struct RebalanceAction(ReplicaKey Key, RebalanceActionKind Kind, ImmutableArray<int> Replicas);

/// <summary>What to do about a partition.</summary>
public enum RebalanceActionKind
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Begin to move it.</summary>
    Reassign = 1,
    /// <summary>Let another lead.</summary>
    HandOver = 2,
}

/// <summary>
/// The next step of a rebalance: what is over is read off the image, what waits is begun as far as the throttle allows. Asked again
/// whenever the image changes or time passes; an action that was lost is decided again, so each must bear being done twice. Pure.
/// </summary>
public static class RebalanceDecision
{
    /// <summary>Decides.</summary>
    /// <param name="job">The rebalance, which runs.</param>
    /// <param name="image">The cluster.</param>
    /// <param name="now">The time.</param>
    /// <returns>The rebalance afterwards (this very one where nothing changes), and what to ask for once that is stored.</returns>
    public static (RebalanceJob Job, IReadOnlyList<RebalanceAction> Actions) Next(RebalanceJob job, ClusterImage image, DateTimeOffset now)
    {
        var actions = new List<RebalanceAction>();
        var steps = job.Steps.ToBuilder();
        for (var index = 0; index < steps.Count; index++)
        {
            if (steps[index].State == RebalanceStepState.Moving)
                steps[index] = Watch(steps[index], image, job.State == RebalanceState.Cancelling, actions);
        }
        var free = job.MaxPartitions - steps.Count(step => step.State == RebalanceStepState.Moving);
        for (var index = 0; index < steps.Count; index++)
        {
            if (steps[index].State != RebalanceStepState.Waiting)
                continue;
            if (job.State == RebalanceState.Cancelling)
                steps[index] = steps[index] with { State = RebalanceStepState.Skipped };
            else if (free > 0)
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

    /// <summary>Leaders that are to go before anything is copied: those on brokers that are being drained, where somebody else in sync can
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

    /// <summary>Whether a rebalance is due although nobody asks for one: a broker that is drained holds something, or one that takes
    /// replicas holds less than half its share and the cluster gives to newcomers by itself.</summary>
    /// <param name="image">The cluster.</param>
    /// <returns>What for; null where none is due.</returns>
    public static string? WhyDue(ClusterImage image)
    {
        var held = image.AllPartitions().SelectMany(found => found.Partition.Holders).GroupBy(id => id)
            .ToDictionary(group => group.Key, group => group.Count());
        if (image.Brokers.Keys.FirstOrDefault(id => IsDraining(image, id) && held.ContainsKey(id), -1) is >= 0 and var drained)
            return $"broker {drained} is drained";
        var taking = image.Brokers.Where(entry => entry.Value.TakesReplicas).Select(entry => entry.Key).ToArray();
        if (!image.AutoRebalance || taking.Length == 0)
            return null;
        var share = taking.Sum(id => held.GetValueOrDefault(id)) / (double)taking.Length;
        return share >= 1 && taking.FirstOrDefault(id => held.GetValueOrDefault(id) < share / 2, -1) is >= 0 and var poor
            ? $"broker {poor} holds less than half its share"
            : null;
    }

    private static bool IsDraining(ClusterImage image, int broker) => image.Brokers.TryGetValue(broker, out var found) && found.IsDraining;

    private static RebalanceStep Watch(RebalanceStep step, ClusterImage image, bool isCancelling, List<RebalanceAction> actions)
    {
        var key = new ReplicaKey(step.TopicId, step.Partition);
        if (!image.TryGetPartition(key, out _, out var partition))
            return step with { State = RebalanceStepState.Skipped };
        if (partition.Target.IsEmpty && partition.Replicas.AsSpan().SequenceEqual(step.To.AsSpan()))
            return Arrived(step, key, partition, image, actions);
        if (isCancelling)
            return TakeBack(step, key, partition, actions);
        if (IsTarget(partition, step.To))
            return step;
        // What an earlier plan moves there goes on from there.
        if (!partition.Target.IsEmpty && !IsTarget(partition, step.From))
            return step with { State = RebalanceStepState.Skipped };
        if (partition.Target.IsEmpty && !partition.Replicas.AsSpan().SequenceEqual(step.From.AsSpan()))
            return step with { State = RebalanceStepState.Skipped };
        // A leader that is to go hands over first, where somebody who stays can: then it is not the one that everything has to come from.
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
