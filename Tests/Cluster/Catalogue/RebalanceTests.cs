using OrleansMq.Api;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Replicas that move between brokers, and brokers that join and leave permanently.</summary>
public sealed class RebalanceTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private IClusterAdministration Administration => Cluster.Broker(1).Administration;

    [SkippableFact]
    public async Task Moved_partition_keeps_its_records_and_leaves_no_files_behind()
    {
        var created = await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 2));
        var partition = new TopicPartition("orders", 0);
        await Cluster.UntilInSyncAsync("orders");
        for (var number = 0; number < 20; number++)
            Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(1, partition, $"{number}")).Error);
        var before = created.Partitions[0].Replicas;
        var spare = Cluster.Running.Except(before).Single();
        int[] target = [spare, before[1]];
        await Administration.ReassignPartitionAsync(partition, target);
        await Wait.UntilAsync(() => Cluster.ImageOf(1).FindServed("orders")!.Partitions[0] is { Target.IsEmpty: true } moved
            && moved.Replicas.SequenceEqual(target) && moved.Isr.Order().SequenceEqual(target.Order()), "the partition is moved");
        await Wait.UntilAsync(() => Cluster.DirectoriesOf(before[0]).Length == 0, "the old replica is gone");
        Assert.Empty(await Administration.ListReassignmentsAsync());
        // A handover that timed out may be requested again. If the old leader resigned in the successor's favour, no election is needed.
        await Wait.UntilAsync(async () => (await Administration.ElectPreferredLeadersAsync("orders")).All(election =>
            election.Error is ErrorCode.None or ErrorCode.ElectionNotNeeded), "it is elected");
        await Wait.UntilAsync(() => Cluster.ImageOf(1).FindServed("orders")!.Partitions[0].Leader == spare, "the new replica leads");
        await Wait.UntilAsync(async () =>
        {
            using var read = await Cluster.Broker(before[0]).FetchAsync(new FetchRequest(partition, 0));
            return read.Error == ErrorCode.None && TestBatches.Read(read.Records).Select(record => record.Value)
                .SequenceEqual(Enumerable.Range(0, 20).Select(n => $"{n}"));
        }, "all is read from the new leader");
    }

    [SkippableFact]
    public async Task New_broker_gets_its_share_by_a_plan_and_a_drained_one_is_removed()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 8, 2));
        await Cluster.UntilInSyncAsync("orders");
        await Cluster.StartAsync(4);
        await Cluster.SettleAsync();
        var plan = await Administration.PlanRebalanceAsync();
        Assert.Equal(4, plan.Shares.Single(share => share.BrokerId == 4).ReplicasAfter);
        await Administration.ExecuteRebalanceAsync(plan.PlanId, new RebalanceThrottle(2));
        await UntilOverAsync();
        Assert.Equal(plan.Moves.Count, (await Administration.GetRebalanceAsync())!.Done);
        await Wait.UntilAsync(async () => (await DescribeAsync(4))?.Replicas == 4, "broker 4 has its share, by broker 1's metadata");
        Assert.Empty((await Administration.PlanRebalanceAsync()).Moves);

        var drain = await Administration.DrainBrokerAsync(2);
        Assert.Equal("broker 2 is drained", drain.Reason);
        await UntilOverAsync();
        await Wait.UntilAsync(async () => await DescribeAsync(2) is { Replicas: 0, Leaders: 0, State: BrokerState.Draining },
            "broker 2 holds nothing");
        await Wait.UntilAsync(() => Cluster.DirectoriesOf(2).Length == 0, "nothing is left on its disk");
        Assert.Equal(ErrorCode.InvalidRequest,
            (await Assert.ThrowsAsync<BrokerException>(async () => await Administration.RemoveBrokerAsync(2))).Code);
        await Cluster.StopAsync(2);
        await Cluster.SettleAsync();
        await Administration.RemoveBrokerAsync(2);
        await Wait.UntilAsync(async () => (await Cluster.Broker(1).DescribeClusterAsync()).Brokers.Select(broker => broker.BrokerId)
            .SequenceEqual([1, 3, 4]), "broker 2 is gone, by broker 1's metadata");
    }

    [SkippableFact]
    public async Task New_broker_gets_its_share_automatically_when_enabled()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 6, 2));
        await Cluster.UntilInSyncAsync("orders");
        await Administration.SetAutoRebalanceAsync(true);
        await Cluster.StartAsync(4);
        await Wait.UntilAsync(async () =>
            (await Cluster.Broker(1).DescribeClusterAsync()).Brokers.Any(broker => broker is { BrokerId: 4, Replicas: 3 }),
            "broker 4 has its share", StateAsync);
    }

    [SkippableFact]
    public async Task Invalid_rebalance_request_is_refused()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 3));
        await RefusedAsync(ErrorCode.InvalidReplicaAssignment,
            async () => await Administration.ReassignPartitionAsync(new TopicPartition("orders", 0), [1, 1]));
        await RefusedAsync(ErrorCode.InvalidReplicaAssignment,
            async () => await Administration.ReassignPartitionAsync(new TopicPartition("orders", 0), [7]));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition,
            async () => await Administration.ReassignPartitionAsync(new TopicPartition("orders", 1), [1]));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, async () => await Administration.ElectPreferredLeadersAsync("nothing"));
        await RefusedAsync(ErrorCode.ElectionNotNeeded,
            async () => await Administration.ElectUncleanAsync(new TopicPartition("orders", 0)));
        await RefusedAsync(ErrorCode.InvalidRequest, async () => await Administration.ExecuteRebalanceAsync("nothing"));
        await RefusedAsync(ErrorCode.NoReassignmentInProgress, async () => await Administration.CancelRebalanceAsync());
        await RefusedAsync(ErrorCode.InvalidReplicationFactor, async () => await Administration.DrainBrokerAsync(1));
        await RefusedAsync(ErrorCode.BrokerIdNotRegistered, async () => await Administration.RemoveBrokerAsync(9));

        static async Task RefusedAsync(ErrorCode expected, Func<Task> request) =>
            Assert.Equal(expected, (await Assert.ThrowsAsync<BrokerException>(request)).Code);
    }

    private Task UntilOverAsync() => Wait.UntilAsync(
        async () => (await Administration.GetRebalanceAsync())!.State == RebalanceState.Completed, "the rebalance is over");

    private async Task<string> StateAsync() =>
        $"{string.Join('\n', (await Cluster.Broker(1).DescribeClusterAsync()).Brokers)}\n{await Administration.GetRebalanceAsync()}";

    private async Task<BrokerDescription?> DescribeAsync(int broker) =>
        (await Cluster.Broker(1).DescribeClusterAsync()).Brokers.SingleOrDefault(found => found.BrokerId == broker);
}
