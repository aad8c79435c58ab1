using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Clusters;

public class RebalanceDecisionTests
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UnixEpoch;

    [Fact]
    public void Moves_run_up_to_the_concurrency_limit_until_all_are_done()
    {
        var image = Cluster();
        var job = Begin(image, maxPartitions: 2);
        var begun = 0;
        while (job.IsRunning)
        {
            var (next, actions) = RebalanceDecision.Next(job, image, Now);
            var moving = next.Steps.Count(step => step.State == RebalanceStepState.Moving);
            Assert.InRange(moving, next.IsRunning ? 1 : 0, 2);
            foreach (var action in actions.Where(action => action.Kind == RebalanceActionKind.Reassign))
            {
                begun++;
                image = Moved(image, action);
            }
            job = next;
        }
        Assert.Equal(job.Steps.Length, begun);
        Assert.Equal((RebalanceState.Completed, Now), (job.State, job.FinishedAt));
        Assert.Empty(RebalancePlanner.Plan(image, "q").Moves);
    }

    [Fact]
    public void Lost_action_is_requested_again()
    {
        var image = Cluster();
        var (job, first) = RebalanceDecision.Next(Begin(image, maxPartitions: 1), image, Now);
        var (same, again) = RebalanceDecision.Next(job, image, Now);
        Assert.Same(job, same);
        Assert.Equal(first, again);
    }

    [Fact]
    public void Partition_being_moved_is_left_alone()
    {
        var image = Cluster();
        var (job, actions) = RebalanceDecision.Next(Begin(image, maxPartitions: 1), image, Now);
        image = Targeted(image, actions[0]);
        Assert.Empty(RebalanceDecision.Next(job, image, Now).Actions);
    }

    [Fact]
    public void Cancel_reverts_moves_in_progress_and_starts_none()
    {
        var image = Cluster();
        var (job, actions) = RebalanceDecision.Next(Begin(image, maxPartitions: 1), image, Now);
        image = Targeted(image, actions[0]);
        (job, actions) = RebalanceDecision.Next(job.Cancel(), image, Now);
        Assert.Equal(RebalanceState.Cancelling, job.State);
        Assert.Equal(job.Steps[0].From, Assert.Single(actions).Replicas);
        image = image.WithPartition(actions[0].Key, ImagePartition.Create(job.Steps[0].From));
        job = RebalanceDecision.Next(job, image, Now).Job;
        Assert.Equal(RebalanceState.Cancelled, job.State);
        Assert.All(job.Steps, step => Assert.Equal(RebalanceStepState.Skipped, step.State));
    }

    [Fact]
    public void Partition_moved_or_deleted_elsewhere_is_skipped()
    {
        var image = Cluster();
        var job = Begin(image, maxPartitions: 100);
        var moved = image.WithPartition(new(job.Steps[0].TopicId, job.Steps[0].Partition), ImagePartition.Create([9]));
        Assert.Equal(RebalanceStepState.Skipped, RebalanceDecision.Next(job, moved, Now).Job.Steps[0].State);
        var deleted = image.WithoutTopic(job.Steps[0].TopicId);
        Assert.Equal(RebalanceState.Completed, RebalanceDecision.Next(job, deleted, Now).Job.State);
    }

    [Fact]
    public void Leader_to_be_removed_hands_over_first()
    {
        var image = RandomImages.Brokers(4).WithTopic(RandomImages.Topic("t", [1, 2, 3]));
        var plan = new RebalancePlan("p", [new RebalanceMove("t", 0, [1, 2, 3], [4, 2, 3], "")], [], "");
        var job = RebalanceJob.Begin(plan, image, "", new RebalanceThrottle(), Now);
        var (moving, actions) = RebalanceDecision.Next(job, image, Now);
        Assert.Equal((RebalanceActionKind.HandOver, 2), (actions[0].Kind, actions[0].Replicas[0]));
        image = image.WithPartition(actions[0].Key, image.FindServed("t")!.Partitions[0] with { Leader = 2 });
        (moving, actions) = RebalanceDecision.Next(moving, image, Now);
        Assert.Equal(RebalanceActionKind.Reassign, Assert.Single(actions).Kind);
        image = image.WithPartition(actions[0].Key, image.FindServed("t")!.Partitions[0] with { Replicas = [4, 2, 3], Isr = [2, 3, 4] });
        (moving, actions) = RebalanceDecision.Next(moving, image, Now);
        Assert.Equal((RebalanceActionKind.HandOver, 4), (Assert.Single(actions).Kind, actions[0].Replicas[0]));
        Assert.Equal(RebalanceState.Completed, moving.State);
    }

    [Fact]
    public void Leaders_leave_a_drained_broker_before_data_is_copied()
    {
        var image = Draining(RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1, 2], [2, 1], [1])));
        var action = Assert.Single(RebalanceDecision.LeadersToMove(image));
        Assert.Equal((0, RebalanceActionKind.HandOver, 2), (action.Key.Partition, action.Kind, action.Replicas[0]));
    }

    [Fact]
    public void Rebalance_is_due_for_a_drained_broker_and_for_a_new_one_when_enabled()
    {
        var image = RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1, 2], [2, 1], [1, 2]));
        Assert.Empty(RebalanceDecision.WhatIsDue(image));
        var due = Assert.Single(RebalanceDecision.WhatIsDue(image with { AutoRebalance = true }));
        Assert.Contains("broker 3", due.Reason, StringComparison.Ordinal);
        Assert.Equal([new DueRebalance("broker 1 is drained", IsGrowth: false)], RebalanceDecision.WhatIsDue(Draining(image)));
    }

    [Fact]
    public void Drained_brokers_are_emptied_first_and_replicas_are_added_before_shares_are_levelled()
    {
        var image = Draining(RandomImages.Brokers(4).WithTopic(RandomImages.Topic("t", [1, 2], [2, 1], [2, 1]))
            .WithTopic(RandomImages.Topic("growing", [2]) with { ReplicationFactor = 1, IntendedReplicationFactor = 3 }));
        image = image with { AutoRebalance = true };
        var due = RebalanceDecision.WhatIsDue(image).ToArray();
        Assert.Equal([false, true, false], due.Select(static what => what.IsGrowth));
        Assert.Equal("broker 1 is drained", due[0].Reason);
        Assert.Contains("less than half its share", due[2].Reason, StringComparison.Ordinal);
        Assert.Equal("growing", Assert.Single(due[1].Plan(image, "p").Moves).Topic);
        Assert.Contains(due[0].Plan(image, "p").Moves, static move => move.Topic == "t" && !move.To.Contains(1));
    }

    public static TheoryData<string> Absences => ["dead", "gone", "draining"];

    /// <summary>Broker 3 is to take replicas and leaves for good when one partition is being moved to it and the other waits.</summary>
    [Theory]
    [MemberData(nameof(Absences))]
    public void Automatic_rebalance_gives_up_what_waits_for_a_broker(string absence)
    {
        var image = RandomImages.Brokers(4).WithTopic(RandomImages.Topic("t", [1], [2], [1]));
        var plan = new RebalancePlan("p", [new("t", 0, [1], [1, 3], ""), new("t", 1, [2], [2, 3], ""), new("t", 2, [1], [1, 4], "")], [],
            "");
        var job = RebalanceJob.Begin(plan, image, "", new RebalanceThrottle(1), Now, isAutomatic: true);
        (job, var actions) = RebalanceDecision.Next(job, image, Now, isSettled: true);
        Assert.Equal([1, 3], Assert.Single(actions).Replicas.AsEnumerable());
        image = Without3(Targeted(image, actions[0]), absence);
        // It may come back.
        (var waiting, actions) = RebalanceDecision.Next(job, image, Now);
        Assert.Same(job, waiting);
        Assert.Empty(actions);
        // The move is taken back; a lost request is repeated.
        for (var times = 0; times < 2; times++)
        {
            (job, actions) = RebalanceDecision.Next(job, image, Now, isSettled: true);
            Assert.Equal([1], Assert.Single(actions).Replicas.AsEnumerable());
        }
        image = image.WithPartition(actions[0].Key, Partition(image, 0) with { Target = [], Replicas = [1] });
        (job, actions) = RebalanceDecision.Next(job, image, Now, isSettled: true);
        Assert.Equal([1, 4], Assert.Single(actions).Replicas.AsEnumerable());
        image = Moved(image, actions[0]);
        job = RebalanceDecision.Next(job, image, Now, isSettled: true).Job;
        Assert.Equal(RebalanceState.Completed, job.State);
        Assert.Equal([RebalanceStepState.Skipped, RebalanceStepState.Skipped, RebalanceStepState.Done],
            job.Steps.Select(static step => step.State));
    }

    [Fact]
    public void Automatic_rebalance_does_not_wait_for_a_partition_without_a_leader()
    {
        var image = RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1]));
        var plan = new RebalancePlan("p", [new("t", 0, [1], [1, 3], "")], [], "");
        var (job, actions) = RebalanceDecision.Next(
            RebalanceJob.Begin(plan, image, "", new RebalanceThrottle(1), Now, isAutomatic: true), image, Now);
        image = Targeted(image, actions[0]);
        image = image.WithPartition(actions[0].Key, Partition(image, 0) with { Leader = -1 });
        // A handover takes a moment.
        Assert.Same(job, RebalanceDecision.Next(job, image, Now, isSettled: true, static _ => false).Job);
        (job, actions) = RebalanceDecision.Next(job, image, Now, isSettled: true, key => key == job.Steps[0].Key);
        Assert.Equal((RebalanceState.Completed, 0), (job.State, actions.Count));
    }

    [Fact]
    public void Partition_without_a_leader_is_not_begun()
    {
        var image = RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1]));
        var plan = new RebalancePlan("p", [new("t", 0, [1], [3], "")], [], "");
        var job = RebalanceJob.Begin(plan, image, "", new RebalanceThrottle(1), Now, isAutomatic: true);
        var leaderless = image.WithPartition(job.Steps[0].Key, Partition(image, 0) with { Leader = -1 });
        var (waiting, actions) = RebalanceDecision.Next(job, leaderless, Now, isSettled: true, static _ => false);
        Assert.Same(job, waiting);
        Assert.Empty(actions);
        Assert.Single(RebalanceDecision.Next(waiting, image, Now, isSettled: true, static _ => false).Actions);
    }

    /// <summary>Broker 3 has two replicas where its share is three: not less than half of it.</summary>
    [Fact]
    public void What_an_automatic_rebalance_has_given_up_is_planned_again()
    {
        var image = RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1], [1], [1], [2], [2], [2], [3], [3], [1])) with
        {
            AutoRebalance = true,
        };
        var plan = RebalancePlanner.Plan(image, "p");
        var move = Assert.Single(plan.Moves);
        var job = RebalanceJob.Begin(plan, image, "", new RebalanceThrottle(1), Now, isAutomatic: true);
        Assert.Empty(RebalanceDecision.WhatIsDue(image, job));
        var givenUp = RebalanceDecision.Next(job, image, Now, isSettled: true, static _ => true).Job;
        var due = Assert.Single(RebalanceDecision.WhatIsDue(image, givenUp));
        Assert.Equal(new DueRebalance("rebalance 'p' has given up moves", IsGrowth: false), due);
        Assert.Equal(move, Assert.Single(due.Plan(image, "q").Moves), static (one, other) => one.To.SequenceEqual(other.To));
        Assert.Empty(RebalanceDecision.WhatIsDue(image with { AutoRebalance = false }, givenUp));

        // A requested one ends as its operator left it, and replicas that could not be added are due by themselves.
        Assert.Empty(RebalanceDecision.WhatIsDue(image, givenUp with { IsAutomatic = false }));
        Assert.Empty(RebalanceDecision.WhatIsDue(image, givenUp with { Steps = [givenUp.Steps[0] with { To = [1, 3] }] }));
    }

    [Fact]
    public void Requested_rebalance_waits_for_its_brokers()
    {
        var image = RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1]));
        var plan = new RebalancePlan("p", [new("t", 0, [1], [1, 3], "")], [], "");
        var (job, actions) = RebalanceDecision.Next(RebalanceJob.Begin(plan, image, "", new RebalanceThrottle(1), Now), image, Now);
        image = Without3(Targeted(image, actions[0]), "dead");
        (var same, actions) = RebalanceDecision.Next(job, image, Now, isSettled: true);
        Assert.Same(job, same);
        Assert.Empty(actions);
    }

    [Fact]
    public void Move_of_an_earlier_plan_continues_to_the_new_target()
    {
        var image = RandomImages.Brokers(4).WithTopic(RandomImages.Topic("t", [1, 2]));
        var key = new ReplicaKey(image.Names["t"], 0);
        Assert.True(image.TryGetPartition(key, out _, out var partition));
        image = image.WithPartition(key, partition with { Target = [3, 2], Replicas = [3, 2, 1], Leader = 2 });
        var plan = new RebalancePlan("p", [new RebalanceMove("t", 0, [3, 2], [4, 2], "")], [], "");
        var (_, actions) = RebalanceDecision.Next(RebalanceJob.Begin(plan, image, "", new RebalanceThrottle(), Now), image, Now);
        Assert.Equal([4, 2], Assert.Single(actions).Replicas.AsEnumerable());
    }

    private static ClusterImage Draining(ClusterImage image) =>
        image with { Brokers = image.Brokers.SetItem(1, image.Brokers[1] with { IsDraining = true }) };

    private static ClusterImage Without3(ClusterImage image, string absence) => image with
    {
        Brokers = absence switch
        {
            "dead" => image.Brokers.SetItem(3, image.Brokers[3] with { IsAlive = false }),
            "gone" => image.Brokers.Remove(3),
            _ => image.Brokers.SetItem(3, image.Brokers[3] with { IsDraining = true }),
        },
    };

    private static ImagePartition Partition(ClusterImage image, int number) => image.FindServed("t")!.Partitions[number];

    private static ClusterImage Cluster()
    {
        var image = RandomImages.Brokers(2)
            .WithTopic(RandomImages.Topic("t", [.. Enumerable.Range(0, 12).Select(number => new[] { (number % 2) + 1 })]));
        return image with { Brokers = RandomImages.Brokers(3).Brokers };
    }

    private static RebalanceJob Begin(ClusterImage image, int maxPartitions) =>
        RebalanceJob.Begin(RebalancePlanner.Plan(image, "p"), image, "asked for", new RebalanceThrottle(maxPartitions), Now);

    private static ClusterImage Moved(ClusterImage image, RebalanceAction action) =>
        image.WithPartition(action.Key, new ImagePartition(action.Replicas[0], 2, action.Replicas, action.Replicas, [], []));

    private static ClusterImage Targeted(ClusterImage image, RebalanceAction action)
    {
        Assert.True(image.TryGetPartition(action.Key, out _, out var partition));
        return image.WithPartition(action.Key, partition with { Target = action.Replicas });
    }
}
