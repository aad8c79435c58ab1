using OrleansMq.Api;
using OrleansMq.Grains.Replication;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Slow replica moves, so that a test can act during one. The brokers throttle catch-up to a rate at which no move completes
/// within a test.</summary>
public sealed class MoveTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int RecordBytes = 10_000;
    private const int Records = 30;
    private const long Slow = 1_000;

    private IClusterAdministration Administration => Cluster.Broker(Cluster.Running.First()).Administration;

    [SkippableFact]
    public async Task Cancelled_move_restores_the_former_replicas()
    {
        var partition = new TopicPartition("orders", 0);
        var before = await FilledAsync("orders", 1, 2);
        var spare = Cluster.Running.Except(before[0]).Single();
        LimitCatchUp();
        await Administration.ReassignPartitionAsync(partition, [spare, before[0][1]]);
        await Wait.UntilAsync(() => Cluster.ReplicasOn(spare).Any(replica => replica.Partition.LogEndOffset > 0),
            "the new replica has something");
        var moving = Assert.Single(await Administration.ListReassignmentsAsync());
        Assert.Equal([spare], moving.Adding);
        // The in-sync replicas are those of before; acknowledgements do not wait for the one that catches up.
        Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(spare, partition, "meanwhile")).Error);
        Assert.Equal(before[0].Order(), Cluster.ImageOf(1).FindServed("orders")!.Partitions[0].Isr.Order());

        await Administration.CancelReassignmentAsync(partition);
        await Wait.UntilAsync(() => Cluster.ImageOf(1).FindServed("orders")!.Partitions[0] is { Target.IsEmpty: true } back
            && back.Replicas.Order().SequenceEqual(before[0].Order()), "all is as it was");
        await Wait.UntilAsync(() => Cluster.DirectoriesOf(spare).Length == 0, "nothing is left of the new replica");
        Assert.Empty(await Administration.ListReassignmentsAsync());
        await HoldsAsync(partition, Records + 1);
    }

    [SkippableFact]
    public async Task Rebalance_is_throttled_and_cancelled_midway()
    {
        var before = await FilledAsync("orders", 4, 1);
        await Cluster.StartAsync(4);
        await Cluster.SettleAsync();
        var plan = await Administration.PlanRebalanceAsync();
        Assert.NotEmpty(plan.Moves);
        var begun = await Administration.ExecuteRebalanceAsync(plan.PlanId, new RebalanceThrottle(1, Slow));
        Assert.Equal(new RebalanceThrottle(1, Slow), begun.Throttle);
        await Wait.UntilAsync(() => Cluster.ReplicasOn(4).Any(replica => replica.Partition.LogEndOffset > 0), "something moves");
        await Cluster.UntilKnownAsync(image => image.CatchUpMaxBytesPerSecond == Slow, "slowly");
        await Administration.CancelRebalanceAsync();
        await Wait.UntilAsync(async () => (await Administration.GetRebalanceAsync())!.State == RebalanceState.Cancelled, "it is cancelled");
        await Wait.UntilAsync(() => Cluster.ImageOf(1) is var image && image.CatchUpMaxBytesPerSecond == 0
            && image.FindServed("orders")!.Partitions.All(partition => partition.Target.IsEmpty),
            "nothing moves, and nothing is slowed down");
        Assert.Equal(before.Select(replicas => replicas[0]),
            Cluster.ImageOf(1).FindServed("orders")!.Partitions.Select(partition => partition.Replicas[0]));
        await Wait.UntilAsync(() => Cluster.DirectoriesOf(4).Length == 0, "nothing is left on the new broker");
        for (var number = 0; number < before.Length; number++)
            await HoldsAsync(new TopicPartition("orders", number), Records);
    }

    [SkippableFact]
    public async Task Rebalance_continues_after_its_coordinating_broker_dies()
    {
        // The moves take 30 s, so that they outlast the change of the controller.
        const int rate = 20_000;
        await FilledAsync("orders", 4, 2);
        await Cluster.StartAsync(4);
        await Cluster.SettleAsync();
        var plan = await Administration.PlanRebalanceAsync();
        // All moving bytes, plus as many for what the killed broker has missed, one after the other; three times that.
        var afterwards = TimeSpan.FromSeconds(3 * 2 * 4 * Records * RecordBytes / rate);
        await Administration.ExecuteRebalanceAsync(plan.PlanId, new RebalanceThrottle(1, rate));
        await Wait.UntilAsync(() => Cluster.ReplicasOn(4).Any(replica => replica.Partition.LogEndOffset > 0), "something moves");
        var (director, epoch) = (Cluster.ImageOf(1).Controller, Cluster.ImageOf(1).Epoch);
        await Cluster.KillAsync(director);
        await Wait.UntilAsync(() => Cluster.Running.All(broker => Cluster.ImageOf(broker).Epoch > epoch),
            "another broker is the controller");
        var status = await Wait.AnsweredAsync(() => Administration.GetRebalanceAsync());
        Assert.Equal((plan.PlanId, RebalanceState.Running, (long)rate), (status!.PlanId, status.State, status.Throttle.MaxBytesPerSecond));
        await Cluster.StartAsync(director);
        await Wait.UntilAsync(async () => (await Administration.GetRebalanceAsync())!.State == RebalanceState.Completed, "it is over",
            StateAsync, afterwards);
        Assert.Equal((plan.Moves.Count, 0),
            ((await Administration.GetRebalanceAsync())!.Done, (await Administration.GetRebalanceAsync())!.Skipped));
        await Cluster.UntilInSyncAsync("orders");
        Assert.Empty((await Administration.PlanRebalanceAsync()).Moves);
        for (var number = 0; number < 4; number++)
            await HoldsAsync(new TopicPartition("orders", number), Records);
    }

    [SkippableFact]
    public async Task Drained_broker_is_emptied_although_a_broker_that_is_to_take_from_it_dies_for_good()
    {
        var before = await FilledAsync("orders", 6, 1);
        LimitCatchUp();
        await Administration.DrainBrokerAsync(2);
        await Wait.UntilAsync(async () => (await Administration.ListReassignmentsAsync()).Any(static moving => moving.Adding.Contains(3)),
            "something moves to broker 3");
        await Cluster.KillAsync(3);
        await Wait.UntilAsync(async () => await Wait.AnsweredAsync(() => Administration.ListReassignmentsAsync()) is { Count: > 0 } moving
            && moving.All(static one => one.Adding.SequenceEqual([1])), "all that is on broker 2 moves to broker 1");

        LimitCatchUp(0);
        await Wait.UntilAsync(() => Cluster.ImageOf(1).FindServed("orders")!.Partitions.All(static partition =>
            partition.Target.IsEmpty && !partition.Replicas.Contains(2)), "broker 2 is empty");
        for (var number = 0; number < before.Length; number++)
        {
            if (before[number][0] != 3)
                await HoldsAsync(new TopicPartition("orders", number), Records);
        }
    }

    [SkippableFact]
    public async Task Fewer_replicas_than_min_insync_are_refused()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 3));
        await Cluster.UntilInSyncAsync("orders");
        var partition = new TopicPartition("orders", 0);
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await Administration.ReassignPartitionAsync(partition, [2]));
        Assert.Equal(ErrorCode.InvalidReplicaAssignment, refused.Code);
        Assert.Contains("min.insync.replicas=2", refused.Message, StringComparison.Ordinal);
        Assert.Equal(3, Cluster.ImageOf(1).FindServed("orders")!.Partitions[0].Replicas.Length);

        await Cluster.Broker(1).AlterTopicAsync("orders", new Dictionary<string, string?> { ["min.insync.replicas"] = "1" });
        await Administration.ReassignPartitionAsync(partition, [2]);
        await Wait.UntilAsync(() => Cluster.ImageOf(1).FindServed("orders")!.Partitions[0] is { Target.IsEmpty: true, Replicas: [2],
            Leader: 2 }, "it is held by one");
        Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(3, partition, "a")).Error);
    }

    private async Task<string> StateAsync() => string.Join('\n',
    [
        $"{await Administration.GetRebalanceAsync()}, directed by {Cluster.ImageOf(1).Controller}",
        .. Cluster.ImageOf(1).FindServed("orders")!.Partitions.Select(static (partition, number) =>
            $"orders/{number}: leader {partition.Leader}, replicas {string.Join(' ', partition.Replicas)}, "
            + $"in sync {string.Join(' ', partition.Isr)}, target {string.Join(' ', partition.Target)}"),
        .. Cluster.Running.SelectMany(broker => Cluster.ReplicasOn(broker)
            .Select(replica => $"on {broker}: up to {replica.Partition.LogEndOffset}")),
    ]);

    // Like --replica-catch-up-max-bytes-per-second, once all replicas are in sync.
    private void LimitCatchUp(long rate = Slow)
    {
        foreach (var broker in Cluster.Running)
            Cluster.Get<SiloReplicas>(broker).Manager.LimitCatchUp(rate);
    }

    private async Task<int[][]> FilledAsync(string topic, int partitions, short replicationFactor)
    {
        var created = await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, partitions, replicationFactor));
        await Cluster.UntilInSyncAsync(topic);
        for (var number = 0; number < partitions; number++)
        {
            for (var record = 0; record < Records; record++)
                Assert.Equal(ErrorCode.None,
                    (await Cluster.AppendAsync(1, new TopicPartition(topic, number), new string('x', RecordBytes))).Error);
        }
        return [.. created.Partitions.Select(partition => partition.Replicas.ToArray())];
    }

    private async Task HoldsAsync(TopicPartition partition, int records)
    {
        var read = 0;
        await Wait.UntilAsync(async () =>
        {
            using var fetched = await Cluster.Broker(Cluster.Running.First()).FetchAsync(new FetchRequest(partition, read));
            read += fetched.Error == ErrorCode.None ? TestBatches.Read(fetched.Records).Count : 0;
            return read >= records;
        }, $"{records} records of {partition}");
        Assert.Equal(records, read);
    }
}
