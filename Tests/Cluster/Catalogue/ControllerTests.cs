using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Grains.Replication;
using OrleansMq.Tests.PostgreSql.Server;

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
            Assert.True(failure is null or { Action: ErrorAction.Retry, InnerException: null }, $"{failure}");
            await Wait.UntilAsync(() => Cluster.Running.All(broker => Cluster.ImageOf(broker).Epoch > before.Epoch),
                "another one makes the metadata");
            await Wait.UntilAsync(async () => await Create(topic) is { Code: ErrorCode.TopicAlreadyExists }, "the topic is there");
        }
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
