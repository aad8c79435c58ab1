using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Api;
using OrleansMq.Grains.Storage;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Topics;

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
        string[] Others(int broker) => [.. cluster.DirectoriesOf(broker).Where(name =>
            !name.StartsWith("begun-", StringComparison.Ordinal) && !name.StartsWith("kept-", StringComparison.Ordinal))];
        await Wait.UntilAsync(() => Task.FromResult(new[] { 1, 2, 3 }.All(broker => Others(broker).Length == 0)),
            "nothing is left of the others",
            () => Task.FromResult(string.Join('\n', new[] { 1, 2, 3 }.Select(broker => $"{broker}: {string.Join(", ", Others(broker))}; "
                + $"deleted {string.Join(", ", cluster.ImageOf(broker).Deleted)}, version {cluster.ImageOf(broker).Version}; "
                + $"replicas {string.Join(", ", cluster.ReplicasOn(broker).Select(replica => replica.TopicPartition))}"))));
        Assert.Equal(2, (await cluster.Broker(1).CreateTopicAsync(new NewTopic("leaving", 2, 2))).Partitions.Count);
    }

    [SkippableFact]
    public async Task Catalogue_of_an_earlier_version_is_divided_into_pages()
    {
        await using var cluster = await ReplicatedCluster.StartAsync(postgres);
        string[] topics = [.. Enumerable.Range(0, 20).Select(number => $"topic-{number:00}")];
        await Task.WhenAll(topics.Select(topic => cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 1, 2)).AsTask()));
        var storage = cluster.Get<IServiceProvider>(1).GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName);
        var whole = TopicCatalogue.Empty;
        foreach (var page in Enumerable.Range(0, TopicCatalogue.Pages).Select(page => DocumentOf(storage, TopicCatalogue.NameOf(page))))
        {
            if (await page.ReadAsync() is not { } found)
                continue;
            whole = whole with { Topics = whole.Topics.AddRange(found.Topics) };
            await page.DeleteAsync();
        }
        Assert.Equal(topics, whole.Topics.Keys);
        var former = WholeOf(storage);
        Assert.Equal(WholeCatalogue.Divided, await former.ReadAsync());
        await former.WriteAsync(new WholeCatalogue(whole));
        foreach (var broker in new[] { 1, 2, 3 })
            await cluster.StopAsync(broker);

        await Task.WhenAll(new[] { 1, 2, 3 }.Select(broker => cluster.StartAsync(broker)));
        await cluster.SettleAsync();
        await Wait.UntilAsync(async () => (await cluster.Broker(2).ListTopicsAsync()).Select(topic => topic.Name).SequenceEqual(topics),
            "all topics are there");
        Assert.Equal(ErrorCode.None, (await cluster.AppendAsync(3, new TopicPartition("topic-07", 0), "a")).Error);
        await cluster.Broker(1).DeleteTopicAsync("topic-07");
        storage = cluster.Get<IServiceProvider>(2).GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName);
        Assert.Equal(WholeCatalogue.Divided, await WholeOf(storage).ReadAsync());
        Assert.Equal(topics.Except(["topic-07"]), (await cluster.Broker(3).ListTopicsAsync()).Select(topic => topic.Name));
    }

    private static GrainDocument<TopicCatalogue> DocumentOf(IGrainStorage storage, string name) =>
        new(storage, TopicCatalogue.StoreType, GrainId.Create("omq.cluster", name));

    private static GrainDocument<WholeCatalogue> WholeOf(IGrainStorage storage) =>
        new(storage, TopicCatalogue.StoreType, GrainId.Create("omq.cluster", WholeCatalogue.Name));

    private static Task SetStatusAsync(string database, string topic, string status) => PostgreSqlFixture.ExecuteAsync(database, $$"""
        UPDATE omq_grain_state SET payload = convert_to(regexp_replace(convert_from(payload, 'UTF8'),
            '("{{topic}}":[{]"topicId":"[^"]*","status":)"active"', '\1"{{status}}"'), 'UTF8')
        WHERE state_name = 'catalogue' AND payload IS NOT NULL
        """);
}
