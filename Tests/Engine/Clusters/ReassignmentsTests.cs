using OrleansMq.Clusters;

namespace OrleansMq.Tests.Engine.Clusters;

public class ReassignmentsTests
{
    private static readonly ClusterImage Image = RandomImages.Brokers(4).WithTopic(RandomImages.Topic("orders", [1, 2, 3]));

    [Theory]
    [InlineData(2, null, 4, 1)]
    [InlineData(2, "min.insync.replicas=2", 4)]
    [InlineData(1, null, 4)]
    [InlineData(1, "empty")]
    [InlineData(1, "twice", 2, 2)]
    [InlineData(1, "no broker 9", 9)]
    public void Reassignment_requests_are_validated(int minInsync, string? refusal, params int[] replicas)
    {
        var checkedMove = Reassignments.Check(Image, new TopicPartition("orders", 0), replicas, minInsync);
        Assert.Equal(refusal is null, checkedMove.IsAccepted);
        if (refusal is not null)
        {
            Assert.Equal(ErrorCode.InvalidReplicaAssignment, checkedMove.Error);
            Assert.Contains(refusal, checkedMove.Message, StringComparison.Ordinal);
        }
    }
}
