using OrleansMq.Api;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>A topic that prefers losing records to waiting for an operator: <c>unclean.leader.election.enable</c>.</summary>
public sealed class UncleanElectionTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Unclean_election_after_disk_loss_happens_only_where_the_topic_allows_it(bool isAllowed)
    {
        var partition = new TopicPartition("orders", 0);
        var created = await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 2)
        {
            Configs = new Dictionary<string, string> { ["unclean.leader.election.enable"] = isAllowed ? "true" : "false" },
        });
        var (leader, follower) = (created.Partitions[0].Replicas[0], created.Partitions[0].Replicas[1]);
        var other = Cluster.Running.Except([leader, follower]).Single();
        await Cluster.UntilInSyncAsync("orders");
        Assert.Equal(0, (await Cluster.AppendAsync(other, partition, "kept")).BaseOffset);
        await Cluster.StopAsync(follower);
        await Wait.UntilAsync(() => Cluster.ImageOf(other).FindServed("orders")!.Partitions[0].Isr is [var last] && last == leader,
            "the follower has left");
        Assert.Equal(1, (await Cluster.AppendAsync(other, partition, "lost")).BaseOffset);
        await Cluster.StopAsync(leader);
        await Cluster.StartAsync(follower);
        await Cluster.SettleAsync();
        // While the last in-sync replica is down it may return with all records: the partition has no leader, whatever the topic allows.
        await Wait.UntilAsync(async () =>
        {
            var refused = await Cluster.Broker(other).ProduceAsync(partition, TestBatches.Of("too early"), Acks.All);
            Assert.NotEqual(ErrorCode.None, refused.Error);
            return refused.Error == ErrorCode.LeaderNotAvailable
                && refused.Message!.Contains($"broker {leader} is down", StringComparison.Ordinal);
        }, "the reason for the missing leader is reported");

        Cluster.Wipe(leader);
        await Cluster.StartAsync(leader);
        if (isAllowed)
        {
            await Wait.UntilAsync(() => Cluster.ImageOf(other).FindServed("orders")!.Partitions[0] is var led && led.Leader == follower
                && led.Isr.Order().SequenceEqual(new[] { leader, follower }.Order()),
                "the one that has most leads, and the other one follows");
            Assert.Equal(1, (await Cluster.AppendAsync(other, partition, "new")).BaseOffset);
            using var read = await Cluster.Broker(other).FetchAsync(new FetchRequest(partition, 0));
            Assert.Equal(["kept", "new"], TestBatches.Read(read.Records).Select(record => record.Value));
        }
        else
        {
            await Cluster.SettleAsync();
            await Wait.UntilAsync(async () => (await Cluster.Broker(other).ProduceAsync(partition, TestBatches.Of("x"), Acks.All)).Message
                ?.Contains($"broker {leader} lost its data directory", StringComparison.Ordinal) == true,
                "the reason for the missing leader is reported");
            var elected = await Cluster.Broker(other).Administration.ElectUncleanAsync(partition, follower);
            Assert.Equal(follower, elected.Leader);
            Assert.Equal(1, (await Cluster.AppendAsync(other, partition, "new")).BaseOffset);
        }
    }
}
