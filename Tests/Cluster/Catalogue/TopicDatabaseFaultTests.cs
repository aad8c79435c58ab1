using OrleansMq.Api;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Topics that are created, altered and deleted while the database is down or goes down meanwhile.</summary>
public sealed class TopicDatabaseFaultTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Partitions = 12;

    [SkippableFact]
    public async Task Topic_changes_fail_clearly_without_the_database_and_can_be_retried()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 2));
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("leaving", 2));
        await Cluster.UntilInSyncAsync("orders");
        await Cluster.UntilInSyncAsync("leaving");
        await Postgres.Server.StopAsync();
        await RefusedAsync(() => Cluster.Broker(1).CreateTopicAsync(new NewTopic("new", 2)).AsTask());
        await RefusedAsync(() => Cluster.Broker(2).DeleteTopicAsync("leaving").AsTask());
        await RefusedAsync(() => Cluster.Broker(3).AlterTopicAsync("orders",
            new Dictionary<string, string?> { ["retention.ms"] = "123456" }).AsTask());
        await RefusedAsync(() => Cluster.Broker(2).AddPartitionsAsync("orders", 4).AsTask());
        // Existing topics are served.
        foreach (var broker in Cluster.Running)
            Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(broker, new TopicPartition("orders", 1), $"{broker}")).Error);

        await Postgres.Server.StartAsync();
        // A change that failed on an old connection may have been applied.
        await AgainAsync(ErrorCode.TopicAlreadyExists, () => Cluster.Broker(1).CreateTopicAsync(new NewTopic("new", 2)).AsTask());
        Assert.Equal(2, (await Cluster.Broker(1).DescribeTopicAsync("new")).Partitions.Count);
        await AgainAsync(ErrorCode.UnknownTopicOrPartition, () => Cluster.Broker(2).DeleteTopicAsync("leaving").AsTask());
        await Wait.AnsweredAsync(() => Cluster.Broker(3).AlterTopicAsync("orders",
            new Dictionary<string, string?> { ["retention.ms"] = "123456" }));
        await AgainAsync(ErrorCode.InvalidPartitions, () => Cluster.Broker(2).AddPartitionsAsync("orders", 4).AsTask());
        await Cluster.UntilInSyncAsync("orders");
        await Cluster.UntilInSyncAsync("new");
        Assert.Equal(["new", "orders"], (await Cluster.Broker(1).ListTopicsAsync()).Select(topic => topic.Name));
        Assert.All(Cluster.ReplicasOn(2).Where(replica => replica.TopicPartition.Topic == "orders"),
            replica => Assert.Equal(123456, replica.Partition.Config.RetentionMs));
        await NothingElseIsLeftAsync("new-0", "new-1", "orders-0", "orders-1", "orders-2", "orders-3");
    }

    [SkippableFact]
    public async Task Topic_that_is_served_remains_though_the_catalogue_could_not_be_written()
    {
        await PostgreSqlFixture.ExecuteAsync(Cluster.Database, """
            CREATE FUNCTION refuse_served() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.state_name = 'catalogue' AND convert_from(NEW.payload, 'UTF8') ~ '"served":[^}]*"active"' THEN
                    RAISE EXCEPTION 'not now';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse_served BEFORE INSERT OR UPDATE ON omq_grain_state FOR EACH ROW EXECUTE FUNCTION refuse_served();
            """);
        await RefusedAsync(() => Cluster.Broker(1).CreateTopicAsync(new NewTopic("served", 1)).AsTask());
        var served = new TopicPartition("served", 0);
        var appended = await Wait.AnsweredAsync(() => new ValueTask<ProduceResult>(Cluster.AppendAsync(2, served, "a")));
        Assert.Equal((ErrorCode.None, 0), (appended.Error, appended.BaseOffset));

        await PostgreSqlFixture.ExecuteAsync(Cluster.Database, "DROP TRIGGER refuse_served ON omq_grain_state");
        await AgainAsync(ErrorCode.TopicAlreadyExists, () => Cluster.Broker(3).CreateTopicAsync(new NewTopic("served", 1)).AsTask());
        appended = await Cluster.AppendAsync(3, served, "b");
        Assert.Equal((ErrorCode.None, 1), (appended.Error, appended.BaseOffset));
    }

    [SkippableFact]
    public async Task Database_killed_during_topic_changes_leaves_none_half_done()
    {
        // Each round kills later in the creation of one topic and the deletion of another.
        for (var round = 0; round < 2; round++)
        {
            var (made, gone) = ($"made-{round}", $"gone-{round}");
            await AgainAsync(ErrorCode.TopicAlreadyExists, () => Cluster.Broker(1).CreateTopicAsync(new NewTopic(gone, 6)).AsTask());
            var changes = Task.WhenAll(TriedAsync(() => Cluster.Broker(1).CreateTopicAsync(new NewTopic(made, Partitions)).AsTask()),
                TriedAsync(() => Cluster.Broker(2).DeleteTopicAsync(gone).AsTask()));
            var step = round;
            await Wait.UntilAsync(() => changes.IsCompleted || Cluster.Running.Sum(broker => Cluster.ReplicasOn(broker).Count(replica =>
                replica.TopicPartition.Topic == made)) > step * 12, "some of it is done");
            await Postgres.Server.KillAsync();
            await changes;
            await Postgres.Server.StartAsync();
            // A change that failed may have been applied; the retry then reports it as done.
            await AgainAsync(ErrorCode.TopicAlreadyExists, () => Cluster.Broker(3).CreateTopicAsync(new NewTopic(made, Partitions))
                .AsTask());
            await AgainAsync(ErrorCode.UnknownTopicOrPartition, () => Cluster.Broker(3).DeleteTopicAsync(gone).AsTask());
            await Cluster.UntilInSyncAsync(made);
            Assert.Equal(Partitions, (await Cluster.Broker(2).DescribeTopicAsync(made)).Partitions.Count);
            await NothingElseIsLeftAsync([.. Enumerable.Range(0, Partitions).Select(number => $"{made}-{number}")]);
            await AgainAsync(ErrorCode.UnknownTopicOrPartition, () => Cluster.Broker(1).DeleteTopicAsync(made).AsTask());
            await NothingElseIsLeftAsync();
        }
    }

    private protected override async Task BeforeStopAsync()
    {
        if (!Postgres.Server.IsRunning)
            await Postgres.Server.StartAsync();
    }

    private async Task NothingElseIsLeftAsync(params string[] directories)
    {
        try
        {
            await Wait.UntilAsync(() =>
                Cluster.Running.All(broker => Cluster.DirectoriesOf(broker).SequenceEqual(directories.Order(StringComparer.Ordinal))),
                $"on every disk exactly {string.Join(", ", directories)}");
        }
        catch (Xunit.Sdk.XunitException late)
        {
            var disks =
                Cluster.Running.Select(broker => $"{broker}: {string.Join(", ", Cluster.DirectoriesOf(broker).Except(directories))}, "
                + $"without {string.Join(", ", directories.Except(Cluster.DirectoriesOf(broker)))}");
            Assert.Fail($"{late.Message}; besides, on broker {string.Join("; ", disks)}");
        }
    }

    private static async Task RefusedAsync(Func<Task> change)
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(() => change().WaitAsync(Wait.Deadline));
        Assert.Contains(refused.Code, new[] { ErrorCode.KafkaStorageError, ErrorCode.RequestTimedOut });
        Assert.Equal(ErrorAction.Retry, refused.Action);
    }

    private static async Task TriedAsync(Func<Task> change)
    {
        try
        {
            await change().WaitAsync(Wait.Deadline);
        }
        catch (BrokerException unknown) when (unknown.Action == ErrorAction.Retry)
        {
            // The database is down.
        }
    }

    private static Task AgainAsync(ErrorCode done, Func<Task> change) => Wait.UntilAsync(async () =>
        {
        try
        {
            await change().WaitAsync(Wait.Deadline);
            return true;
        }
        catch (BrokerException refused) when (refused.Code == done)
        {
            return true;
        }
    }, "the change is done");
}
