using OrleansMq.Access;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Partitions;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Which leader of a partition clients are told.</summary>
public sealed class PartitionLeadersTests
{
    private const int Self = 1;

    // A leader that was superseded, and has not noticed, would send clients to itself and back.
    [Theory]
    [InlineData(null, true, 2, 7)]
    [InlineData(6, true, 2, 7)]
    [InlineData(7, true, Self, 7)]
    [InlineData(8, true, Self, 8)]
    [InlineData(8, false, -1, 8)]
    public void Broker_that_leads_names_itself_unless_the_image_has_a_later_leader(int? local, bool isOnline, int leader, int epoch) =>
        Assert.Equal((leader, epoch), PartitionLeaders.Of(Self, new ImagePartition(2, 7, [Self, 2], [Self, 2], [], []),
            local is { } led ? new LocalPartition(led, isOnline, false) : null));
}
