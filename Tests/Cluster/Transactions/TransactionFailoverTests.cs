using OrleansMq.Api;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Transactions;

/// <summary>Transactions while silos and the database are killed and stopped.</summary>
public sealed class TransactionFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const string Topic = "orders";
    private const int Partitions = 3;

    [SkippableFact]
    public async Task Kill_of_the_coordinators_silo_leaves_an_open_transaction_to_the_next()
    {
        await CreateTopicAsync();
        var producer = await TestTransactions.InitAsync(AnyBroker, "id");
        await SendToAllAsync(producer, "a");
        await Cluster.KillAsync((await producer.DescribeAsync()).Coordinator);

        producer = producer.Over(AnyBroker);
        await EndAsync(producer, isCommit: true);
        await ReadsAsync(["a", "a", "a"]);
        await SendToAllAsync(producer, "b", sequence: 1);
        await EndAsync(producer, isCommit: false);
        await SendToAllAsync(producer, "c", sequence: 2);
        await EndAsync(producer, isCommit: true);
        await ReadsAsync(["a", "a", "a", "c", "c", "c"]);
    }

    [SkippableFact]
    public async Task Decided_transaction_reaches_all_partitions_although_its_coordinator_dies()
    {
        await CreateTopicAsync();
        var producer = await TestTransactions.InitAsync(AnyBroker, "id");
        await SendToAllAsync(producer, "a");
        var coordinator = (await producer.DescribeAsync()).Coordinator;
        // Answered when the decision is stored. The markers may be on their way.
        Assert.Equal(ErrorCode.None, (await producer.TryEndAsync(isCommit: true, waits: false)).Error);
        await Cluster.KillAsync(coordinator);
        // Nobody asks for the id any more: the partitions do.
        await ReadsAsync(["a", "a", "a"]);
    }

    [SkippableFact]
    public async Task Transaction_of_a_dead_client_times_out_although_its_coordinator_died_too()
    {
        await CreateTopicAsync();
        var producer = await TestTransactions.InitAsync(AnyBroker, "id", TimeSpan.FromSeconds(8));
        await SendToAllAsync(producer, "left");
        await Cluster.KillAsync((await producer.DescribeAsync()).Coordinator);
        var other = await TestTransactions.InitAsync(AnyBroker, "other");
        await SendToAllAsync(other, "b");
        await EndAsync(other, isCommit: true);
        await ReadsAsync(["b", "b", "b"]);
    }

    [SkippableFact]
    public async Task Offsets_alone_take_effect_although_the_coordinator_dies_with_the_decision()
    {
        await CreateTopicAsync();
        var producer = await TestTransactions.InitAsync(AnyBroker, "id");
        Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync("group", Topic, 0, 7));
        var coordinator = (await producer.DescribeAsync()).Coordinator;
        Assert.Equal(ErrorCode.None, (await producer.TryEndAsync(isCommit: true, waits: false)).Error);
        await Cluster.KillAsync(coordinator);
        // Neither a partition nor a client asks for the id.
        await Wait.UntilAsync(async () => (await AnyBroker.Groups.FetchOffsetsAsync(new OffsetFetch
        {
            GroupId = "group",
            Partitions = [new TopicPartition(Topic, 0)],
            RequireStable = true,
        })).Partitions is [{ Error: ErrorCode.None, Offset.Offset: 7 }], "the offset counts");
    }

    [SkippableFact]
    public async Task Topic_that_is_deleted_does_not_keep_its_transaction_from_ending()
    {
        await CreateTopicAsync();
        var producer = await TestTransactions.InitAsync(AnyBroker, "id");
        await SendToAllAsync(producer, "a");
        await AnyBroker.DeleteTopicAsync(Topic);
        await EndAsync(producer, isCommit: true);
        Assert.Equal(TransactionPhase.CompleteCommit, (await producer.DescribeAsync()).Phase);
    }

    [SkippableFact]
    public async Task Kill_of_a_partitions_leader_leaves_its_part_of_the_transaction()
    {
        await CreateTopicAsync();
        var producer = await TestTransactions.InitAsync(AnyBroker, "id");
        await SendToAllAsync(producer, "a");
        var leader = (await AnyBroker.DescribeTopicAsync(Topic)).Partitions[0].Leader;
        await Cluster.KillAsync(leader);
        producer = producer.Over(AnyBroker);
        await EndAsync(producer, isCommit: true);
        await ReadsAsync(["a", "a", "a"]);
    }

    [SkippableFact]
    public async Task New_instance_fences_the_old_one_at_another_coordinator()
    {
        await CreateTopicAsync();
        var old = await TestTransactions.InitAsync(AnyBroker, "id");
        await SendToAllAsync(old, "old");
        await Cluster.KillAsync((await old.DescribeAsync()).Coordinator);
        var young = await InitAsync("id");
        old = old.Over(AnyBroker);
        Assert.Equal(ErrorCode.ProducerFenced, (await TryEndAsync(old, isCommit: true)).Error);
        await SendToAllAsync(young, "young");
        await EndAsync(young, isCommit: true);
        await ReadsAsync(["young", "young", "young"]);
    }

    [SkippableFact]
    public async Task Transactions_wait_while_the_database_is_away_and_records_flow_on()
    {
        await CreateTopicAsync();
        var producer = await TestTransactions.InitAsync(AnyBroker, "id");
        await SendToAllAsync(producer, "a");
        await Postgres.Server.StopAsync();
        var refused = await producer.TryEndAsync(isCommit: true);
        Assert.Equal((ErrorCode.CoordinatorNotAvailable, ErrorAction.Retry), (refused.Error, refused.Error.Action()));
        Assert.Equal(ErrorCode.None, (await producer.TrySendAsync(Topic, 0, 1, "more")).Error);
        Assert.Equal(ErrorCode.None, (await AnyBroker.ProduceAsync(new TopicPartition(Topic, 1), TestBatches.Of("plain"), Acks.All)).Error);

        await Postgres.Server.StartAsync();
        await EndAsync(producer, isCommit: true);
        await ReadsAsync(["a", "a", "a", "more", "plain"]);
    }

    [SkippableFact]
    public async Task Ids_are_spread_over_brokers_and_listed()
    {
        var ids = Enumerable.Range(0, 30).Select(static number => $"id-{number:00}").ToArray();
        var coordinators = new List<int>();
        foreach (var id in ids)
        {
            await TestTransactions.InitAsync(AnyBroker, id);
            coordinators.Add(await AnyBroker.Transactions.FindCoordinatorAsync(id));
        }
        Assert.Equal([1, 2, 3], coordinators.Distinct().Order());
        foreach (var broker in Cluster.Running)
        {
            var listed = await Cluster.Broker(broker).Transactions.ListTransactionsAsync();
            Assert.Equal(ids, listed.Select(static listing => listing.TransactionalId));
            Assert.All(listed, static listing => Assert.Equal(TransactionPhase.Empty, listing.Phase));
        }
    }

    private protected override async Task BeforeStopAsync()
    {
        if (!Postgres.Server.IsRunning)
            await Postgres.Server.StartAsync();
    }

    private IBroker AnyBroker => Cluster.Broker(Cluster.Running.First());

    private Task CreateTopicAsync() => AnyBroker.CreateTopicAsync(new NewTopic(Topic, Partitions, 3)).AsTask();

    // Until the cluster has noticed the death, the coordinator may be looked for in vain.
    private async Task<TestTransactions> InitAsync(string id)
    {
        InitTransactionsResult? answer = null;
        var request = new InitTransactions { TransactionalId = id, Timeout = TimeSpan.FromMinutes(1), RequestId = Guid.NewGuid() };
        await Wait.UntilAsync(async () => (answer = await AnyBroker.Transactions.SendAsync(request)).Error == ErrorCode.None,
            "a new instance begins");
        return new TestTransactions(AnyBroker, id, answer!.Producer);
    }

    private static async Task SendToAllAsync(TestTransactions producer, string value, int sequence = 0)
    {
        var number = await producer.AddAsync(Topic, 0, 1, 2);
        for (var partition = 0; partition < Partitions; partition++)
        {
            ProduceResult? sent = null;
            var to = partition;
            await Wait.UntilAsync(async () => (sent = await producer.TrySendFirstAsync(Topic, to, number, sequence, value))?.Error
                is ErrorCode.None or not (ErrorCode.NotLeaderOrFollower or ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut
                    or ErrorCode.NotEnoughReplicas or ErrorCode.NotEnoughReplicasAfterAppend), "it is sent");
            Assert.Equal(ErrorCode.None, sent!.Value.Error);
        }
    }

    private static async Task EndAsync(TestTransactions producer, bool isCommit)
    {
        var answer = await TryEndAsync(producer, isCommit);
        Assert.True(answer.Error == ErrorCode.None, $"{answer.Error}: {answer.Message}");
    }

    // Asks again where the answer says so, as clients do.
    private static async Task<EndTransactionResult> TryEndAsync(TestTransactions producer, bool isCommit)
    {
        EndTransactionResult? answer = null;
        await Wait.UntilAsync(async () => (answer = await producer.TryEndAsync(isCommit)).Error.Action() != ErrorAction.Retry, "it ends");
        return answer!;
    }

    private Task ReadsAsync(string[] expected) => Wait.UntilAsync(async () =>
    {
        var values = new List<string>();
        for (var partition = 0; partition < Partitions; partition++)
        {
            if (await TestTransactions.ReadAllAsync(AnyBroker, Topic, partition, IsolationLevel.ReadCommitted) is not { } read)
                return false;
            values.AddRange(read);
        }
        values.Sort(StringComparer.Ordinal);
        return values.SequenceEqual(expected);
    }, "committed readers read " + string.Join(", ", expected));
}
