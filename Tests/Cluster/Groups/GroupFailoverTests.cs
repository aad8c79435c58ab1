using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Groups;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Groups;

/// <summary>Consumer groups while silos and the database are killed and stopped.</summary>
public sealed class GroupFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const string Topic = "orders";

    [SkippableFact]
    public async Task Kill_of_the_coordinators_silo_leaves_members_undisturbed()
    {
        var (group, members) = await StableGroupAsync("billing", 3);
        Assert.Equal(ErrorCode.None, ErrorOf(await members[0].CommitAsync(Groups(1), Topic, 0, 17)));
        var before = await Groups(1).DescribeGroupAsync(group);
        Assert.Equal((GroupState.Stable, 3), (before.State, before.Members.Count));

        await Cluster.KillAsync(before.Coordinator);
        foreach (var member in members)
            await AnswersAsync(() => member.HeartbeatAsync(Groups()), ErrorCode.None);

        // The silo that was declared dead goes on for a moment, for callers that have not learned of it.
        var after = before;
        await Wait.UntilAsync(async () => (after = await Groups().DescribeGroupAsync(group)).Coordinator != before.Coordinator,
            "another one coordinates");
        Assert.Equal(Text(before), Text(after));
        Assert.Equal(17, await CommittedAsync(group));
        Assert.Equal(ErrorCode.None, ErrorOf(await members[1].CommitAsync(Groups(), Topic, 0, 18)));
        Assert.Equal(18, await CommittedAsync(group));
    }

    [SkippableFact]
    public async Task Waiting_requests_continue_at_the_next_coordinator_when_its_silo_stops()
    {
        var (group, members) = await StableGroupAsync("billing", 1);
        var coordinator = await Groups(1).FindCoordinatorAsync(group);
        var other = Cluster.Running.First(broker => broker != coordinator);
        var late = new TestMember(group, "late");
        var joining = late.JoinAsync(() => Groups(other));
        await Wait.UntilAsync(async () => (await members[0].HeartbeatAsync(Groups(other))).Error == ErrorCode.RebalanceInProgress,
            "the group rebalances");

        await Cluster.StopAsync(coordinator);
        await Wait.UntilAsync(async () => (await CoordinatorsAsync([group], other))[0] != coordinator,
            "the next coordinator");
        Assert.False(joining.IsCompleted);
        await Task.WhenAll(joining, members[0].JoinAsync(() => Groups(other)));
        Assert.Equal(members[0].Generation, late.Generation);
        Assert.Equal("late"u8.ToArray(), late.Assignment);
    }

    [SkippableFact]
    public async Task Groups_are_spread_and_stay_when_brokers_join()
    {
        var groups = Enumerable.Range(0, 30).Select(i => $"group-{i}").ToArray();
        foreach (var group in groups)
            await StableGroupAsync(group, 1);
        var before = await CoordinatorsAsync(groups);
        Assert.Equal([1, 2, 3], before.Distinct().Order());

        await Cluster.KillAsync(3);
        var without = before;
        await Wait.UntilAsync(async () => !(without = await CoordinatorsAsync(groups)).Contains(3), "all have a coordinator");
        Assert.All(before.Zip(without),
            pair => Assert.True(pair.First == 3 || pair.First == pair.Second, "a group moved whose broker lived"));

        await Cluster.StartAsync(3);
        await Cluster.SettleAsync();
        Assert.Equal(without, await Wait.AnsweredAsync(async () => await CoordinatorsAsync(groups, from: 3)));
        Assert.Equal(without, await Wait.AnsweredAsync(async () => await CoordinatorsAsync(groups, from: 1)));
    }

    [SkippableFact]
    public async Task Later_claim_of_two_activations_alone_stores()
    {
        var (group, members) = await StableGroupAsync("billing", 1);
        Assert.Equal(ErrorCode.None, ErrorOf(await members[0].CommitAsync(Groups(1), Topic, 0, 1)));

        // Claims, as a silo does that does not know of the first activation.
        await using var second = await GroupCoordinator.OpenAsync(group, 9, Stores(1).For(group),
            Cluster.Get<IClusterMetadata>(1), new GroupOptions(),
            TimeProvider.System, EngineLog.Silent);
        Assert.Equal(ErrorCode.None, ErrorOf(await second.SendAsync(members[0].Commit(Topic, 0, 2))));

        var grain = Cluster.Get<IGrainFactory>(1).GetGrain<IGroupGrain>(group);
        Assert.Equal(ErrorAction.Retry, ErrorOf((OffsetCommitResult)(await grain.SendAsync(members[0].Commit(Topic, 0, 3), default))!)
            .Action());
        Assert.Equal(2, (await second.SendAsync(new OffsetFetch { GroupId = group })).Partitions.Single().Offset!.Offset);

        // The first activation notices and ends; the next call creates a third, which claims.
        await Wait.UntilAsync(async () => ErrorOf(await members[0].CommitAsync(Groups(1), Topic, 0, 4)) == ErrorCode.None,
            "another activation");
        Assert.Equal(ErrorAction.Retry, ErrorOf(await second.SendAsync(members[0].Commit(Topic, 0, 5))).Action());
        await Wait.UntilAsync(() => second.IsClosed, "the second learns of it");
        Assert.Equal(4, await CommittedAsync(group));
    }

    [SkippableFact]
    public async Task Activation_ends_when_another_broker_reports_a_claim()
    {
        var (group, _) = await StableGroupAsync("billing", 1);
        var coordinator = await Groups(1).FindCoordinatorAsync(group);
        var other = Cluster.Running.First(broker => broker != coordinator);
        Assert.Equal(CoordinatorHolding.Coordinates, Cluster.Get<ActiveCoordinators>(coordinator).HoldingOf(IdOf(group)));
        await Cluster.Get<CoordinatorSearch>(other).AnnounceAsync(IdOf(group));
        await Wait.UntilAsync(() => Cluster.Get<ActiveCoordinators>(coordinator).HoldingOf(IdOf(group)) == CoordinatorHolding.Absent,
            "it ends");
        Assert.Single((await Groups(other).DescribeGroupAsync(group)).Members);
    }

    [SkippableFact]
    public async Task Heartbeats_continue_without_the_database_and_commits_fail_clearly()
    {
        var (group, members) = await StableGroupAsync("billing", 2);
        Assert.Equal(ErrorCode.None, ErrorOf(await members[0].CommitAsync(Groups(1), Topic, 0, 1)));
        await Postgres.Server.StopAsync();
        for (var i = 0; i < 20; i++)
            Assert.Equal(ErrorCode.None, (await members[i % 2].HeartbeatAsync(Groups(1 + (i % 3)))).Error);
        var refused = await members[0].CommitAsync(Groups(1), Topic, 0, 2);
        Assert.Equal((ErrorCode.CoordinatorNotAvailable, ErrorAction.Retry), (ErrorOf(refused), ErrorOf(refused).Action()));
        for (var i = 0; i < 20; i++)
            Assert.Equal(ErrorCode.None, (await members[i % 2].HeartbeatAsync(Groups(1 + (i % 3)))).Error);

        await Postgres.Server.StartAsync();
        await Wait.UntilAsync(async () => ErrorOf(await members[0].CommitAsync(Groups(1), Topic, 0, 3)) == ErrorCode.None,
            "commits are stored again");
        Assert.Equal(3, await CommittedAsync(group));
        foreach (var member in members)
            Assert.Equal(ErrorCode.None, (await member.HeartbeatAsync(Groups(1))).Error);
    }

    [SkippableFact]
    public async Task Database_killed_during_commits_loses_no_acknowledged_commit()
    {
        var (group, members) = await StableGroupAsync("billing", 1);
        using var stop = new CancellationTokenSource();
        var acknowledged = 0L;
        var committing = Task.Run(async () =>
        {
            for (var offset = 1L; !stop.IsCancellationRequested; offset++)
            {
                var error = ErrorOf(await members[0].CommitAsync(Groups(1 + (int)(offset % 3)), Topic, 0, offset));
                Assert.True(error is ErrorCode.None || error.Action() == ErrorAction.Retry, $"{error}");
                if (error == ErrorCode.None)
                    Volatile.Write(ref acknowledged, offset);
            }
        });
        for (var round = 1; round <= 3; round++)
        {
            var before = Volatile.Read(ref acknowledged);
            await Wait.UntilAsync(() => Volatile.Read(ref acknowledged) > before + 10 || committing.IsFaulted, "commits are stored");
            await Postgres.Server.KillAsync();
            await Postgres.Server.StartAsync();
        }
        var last = Volatile.Read(ref acknowledged);
        await Wait.UntilAsync(() => Volatile.Read(ref acknowledged) > last || committing.IsFaulted, "all is well again");
        await stop.CancelAsync();
        await committing;
        Assert.True(await CommittedAsync(group) >= acknowledged, "an acknowledged commit is lost");
        Assert.Equal((1, members[0].Generation),
            ((await Groups(1).DescribeGroupAsync(group)).Members.Count, (await Groups(1).DescribeGroupAsync(group)).Epoch));
    }

    [SkippableFact]
    public async Task Configuration_survives_its_coordinators_silo_before_there_is_a_group()
    {
        Assert.Equal(default, await Groups(1).SendAsync(new AlterShareGroup("work")
        {
            Configs = [new ShareGroupSetting("share.auto.offset.reset", "earliest")],
        }));
        var coordinator = await Groups(1).FindCoordinatorAsync("work");
        await Cluster.KillAsync(coordinator);
        var other = coordinator % 3 + 1;
        await Wait.UntilAsync(async () => (await Groups(other).SendAsync(new FindShareCursors("work"))) is { Error: ErrorCode.None } found
            && found.Configs.SequenceEqual([new ShareGroupSetting("share.auto.offset.reset", "earliest")]), "the configuration is there");
        Assert.Equal(["work"], await Groups(other).ListConfiguredAsync());
        Assert.Empty(await Groups(other).ListGroupsAsync());
    }

    [SkippableFact]
    public async Task Groups_are_listed_by_every_broker_until_deleted()
    {
        foreach (var group in new[] { "a", "b", "CAFE", "cafe" })
            await StableGroupAsync(group, 1);
        await CommitFromOutsideAsync("offsets-only");
        for (var broker = 1; broker <= 3; broker++)
            Assert.Equal(["CAFE", "a", "b", "cafe", "offsets-only"],
                (await Groups(broker).ListGroupsAsync()).Select(listing => listing.GroupId));

        await Groups(2).DeleteGroupAsync("offsets-only");
        Assert.Equal(["CAFE", "a", "b", "cafe"], (await Groups(3).ListGroupsAsync()).Select(listing => listing.GroupId));
        Assert.Equal(ErrorCode.NonEmptyGroup,
            (await Assert.ThrowsAsync<BrokerException>(() => Groups(1).DeleteGroupAsync("a").AsTask())).Code);
        Assert.Equal(ErrorCode.GroupIdNotFound,
            (await Assert.ThrowsAsync<BrokerException>(() => Groups(1).DescribeGroupAsync("offsets-only").AsTask())).Code);
    }

    private protected override async Task BeforeStopAsync()
    {
        if (!Postgres.Server.IsRunning)
            await Postgres.Server.StartAsync();
    }

    private static GrainId IdOf(string group) => GrainId.Create(GroupGrain.TypeName, group);

    private ICoordinatorStores Stores(int broker) =>
        Cluster.Get<CoordinatorDocuments>(broker).Of(GroupDocuments.Kind, GrainType.Create(GroupGrain.TypeName));

    private IGroupCoordinator Groups(int broker) => Cluster.Broker(broker).Groups;

    /// <summary>The groups through any running broker.</summary>
    private IGroupCoordinator Groups() => Groups(Cluster.Running.First());

    private async Task<(string Group, TestMember[] Members)> StableGroupAsync(string group, int size)
    {
        if ((await Cluster.Broker(1).ListTopicsAsync()).Count == 0)
            await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Topic, 3));
        TestMember[] members = [.. Enumerable.Range(0, size).Select(i => new TestMember(group, $"member-{i}"))];
        // Each member that joins makes the others rejoin.
        for (var count = 1; count <= size; count++)
        {
            var joining = members[count - 1].JoinAsync(() => Groups());
            foreach (var member in members[..(count - 1)])
            {
                await Wait.UntilAsync(async () => (await member.HeartbeatAsync(Groups())).Error == ErrorCode.RebalanceInProgress,
                    "the group rebalances");
                joining = Task.WhenAll(joining, member.JoinAsync(() => Groups()));
            }
            await joining;
        }
        return (group, members);
    }

    private async Task CommitFromOutsideAsync(string group)
    {
        var result = await Groups(1)
            .CommitOffsetsAsync(new OffsetCommit { GroupId = group, Offsets = [new PartitionOffset(Topic, 0, new CommittedOffset(5))] });
        Assert.Equal(ErrorCode.None, ErrorOf(result));
    }

    private async Task<long> CommittedAsync(string group)
    {
        // The fetch confirms ownership at the store, which may fail once right after an outage.
        OffsetFetchResult fetched = null!;
        await Wait.UntilAsync(async () =>
            (fetched = await Groups().FetchOffsetsAsync(new OffsetFetch { GroupId = group, Partitions = [new TopicPartition(Topic, 0)] }))
            .Error.Action() != ErrorAction.Retry, "the coordinator answers");
        Assert.Equal(ErrorCode.None, fetched.Error);
        return Assert.Single(fetched.Partitions).Offset!.Offset;
    }

    private async Task<int[]> CoordinatorsAsync(string[] groups, int from = 1) =>
        await Task.WhenAll(groups.Select(group => Groups(from).FindCoordinatorAsync(group).AsTask()));

    private static async Task AnswersAsync(Func<ValueTask<GroupReply>> call, ErrorCode expected)
    {
        GroupReply reply = default;
        await Wait.UntilAsync(async () => (reply = await call()).Error is not (ErrorCode.CoordinatorNotAvailable or ErrorCode.NotCoordinator
            or ErrorCode.CoordinatorLoadInProgress), "an answer");
        Assert.Equal((expected, reply.Message), (reply.Error, reply.Message));
    }

    private static ErrorCode ErrorOf(OffsetCommitResult result) => Assert.Single(result.Partitions).Error;

    private static string Text(GroupDescription group) => Serialization.Printed.Of(group with { Coordinator = 0 });
}
