using OrleansMq.Api;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Recovery of topics after a crash between two writes, when the cluster restarts.</summary>
public sealed class RecoveryTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    [SkippableFact]
    public async Task Interrupted_topic_changes_are_completed_or_undone()
    {
        await using var cluster = await ReplicatedCluster.StartAsync(postgres);
        foreach (var topic in new[] { "begun", "unwritten", "leaving", "kept" })
            await cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 2, 2));
        foreach (var broker in new[] { 1, 2, 3 })
            await cluster.StopAsync(broker);
        await SetStatusAsync(cluster.Database, "begun", "creating");
        await SetStatusAsync(cluster.Database, "unwritten", "creating");
        await SetStatusAsync(cluster.Database, "leaving", "deleting");
        await PostgreSqlFixture.ExecuteAsync(cluster.Database,
            "UPDATE omq_grain_state SET payload = NULL WHERE state_name = 'topic' "
                + "AND convert_from(payload, 'UTF8') LIKE '%\"unwritten\"%'");

        await Task.WhenAll(new[] { 1, 2, 3 }.Select(broker => cluster.StartAsync(broker)));
        await cluster.SettleAsync();
        await Wait.UntilAsync(async () => (await cluster.Broker(2).ListTopicsAsync()).Select(topic => topic.Name)
            .SequenceEqual(["begun", "kept"]),
            "the topics are those that should be");
        await cluster.UntilInSyncAsync("begun");
        Assert.Equal(ErrorCode.None, (await cluster.AppendAsync(3, new TopicPartition("begun", 1), "a")).Error);
        await Wait.UntilAsync(() => new[] { 1, 2, 3 }.All(broker => cluster.DirectoriesOf(broker).All(name =>
            name.StartsWith("begun-", StringComparison.Ordinal) || name.StartsWith("kept-", StringComparison.Ordinal))),
            "nothing is left of the others");
        Assert.Equal(2, (await cluster.Broker(1).CreateTopicAsync(new NewTopic("leaving", 2, 2))).Partitions.Count);
    }

    private static Task SetStatusAsync(string database, string topic, string status) => PostgreSqlFixture.ExecuteAsync(database, $$"""
        UPDATE omq_grain_state SET payload = convert_to(regexp_replace(convert_from(payload, 'UTF8'),
            '("{{topic}}":[{]"topicId":"[^"]*","status":)"active"', '\1"{{status}}"'), 'UTF8')
        WHERE state_name = 'catalogue' AND payload IS NOT NULL
        """);
}
