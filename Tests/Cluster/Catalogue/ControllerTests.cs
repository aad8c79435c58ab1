using Microsoft.Extensions.DependencyInjection;
using Orleans.Core.Internal;
using Orleans.Storage;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Grains;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>The controller activation, and a later one that supersedes it.</summary>
public sealed class ControllerTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Superseded_controller_finishes_its_work_before_it_stops()
    {
        for (var round = 0; round < 5; round++)
        {
            var topic = $"orders-{round}";
            var before = Cluster.ImageOf(1);
            var creating = Create(topic);
            await Wait.UntilAsync(() => creating.IsCompleted || Cluster.ImageOf(1).Version > before.Version, "it has begun");
            await OvertakeAsync();
            var failure = await creating;
            // The change may be refused, but must not time out against the activation that waits for its own end.
            Assert.True(failure is null or { Action: ErrorAction.Retry, InnerException: null or BrokerException }, $"{failure}");
            await Wait.UntilAsync(() => Cluster.Running.All(broker => Cluster.ImageOf(broker).Epoch > before.Epoch),
                "another one makes the metadata");
            await Wait.UntilAsync(async () => await Create(topic) is { Code: ErrorCode.TopicAlreadyExists }, "the topic is there");
        }
    }

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(10)]
    [InlineData(20)]
    [InlineData(40)]
    public async Task Controller_that_Orleans_deactivates_in_the_middle_completes_a_creation(int milliseconds)
    {
        Assert.Null(await Create("before"));
        var controller = Cluster.Get<IGrainFactory>(1).GetCluster().AsReference<IGrainManagementExtension>();
        for (var round = 0; round < 3; round++)
        {
            var creating = Create($"orders-{round}");
            await Task.Delay(milliseconds);
            await controller.DeactivateOnIdle();
            Assert.Null(await creating);
        }
    }

    [SkippableFact]
    public async Task Controller_finds_in_the_store_a_later_one_that_no_broker_has_heard_of_and_makes_room_for_the_next()
    {
        Assert.Null(await Create("before"));
        var storage = Cluster.Get<IServiceProvider>(1).GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName);
        GrainDocument<T> Document<T>(string type, string name) where T : class => new(storage, type, GrainId.Create("omq.cluster", name));
        var registry = Document<BrokerRegistry>("brokers", GrainKeys.Cluster);
        var taken = (await registry.ReadAsync())!.TakeOver();
        await registry.WriteAsync(taken);
        // It dies after this, before its first image.
        foreach (var page in Enumerable.Range(0, TopicCatalogue.Pages)
            .Select(page => Document<TopicCatalogue>(TopicCatalogue.StoreType, TopicCatalogue.NameOf(page))))
            await page.WriteAsync((await page.ReadAsync() ?? TopicCatalogue.Empty) with { Epoch = taken.MetadataEpoch });

        await Wait.UntilAsync(async () => await Create("orders") is null or { Code: ErrorCode.TopicAlreadyExists }, "the topic is there");
        await Wait.UntilAsync(() => Cluster.Running.All(broker => Cluster.ImageOf(broker).Epoch > taken.MetadataEpoch),
            "every broker has the next one's metadata");
        await Wait.UntilAsync(async () => (await Cluster.Broker(3).ListTopicsAsync()).Select(topic => topic.Name)
            .SequenceEqual(["before", "orders"]), "both topics, by broker 3's metadata");
    }

    private async Task<BrokerException?> Create(string topic)
    {
        try
        {
            await Cluster.Broker(2).CreateTopicAsync(new NewTopic(topic, 6));
            return null;
        }
        catch (BrokerException refused)
        {
            return refused;
        }
    }

    /// <summary>Pushes an image from a later activation: newer than all images of this one, older than the first of the next.</summary>
    private async Task OvertakeAsync()
    {
        var image = Cluster.ImageOf(1);
        var later = image with { Version = ClusterImage.FirstVersion(image.Epoch + 1) - 1 };
        await Cluster.Get<ReplicaServices>(1).Of(3)
            .PushImageAsync(ClusterDeltaCodec.Write(ClusterDelta.Between(ClusterImage.Empty, later)));
    }
}
