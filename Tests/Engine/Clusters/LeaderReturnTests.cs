using System.Collections.Immutable;
using OrleansMq.Clusters;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Clusters;

public class LeaderReturnTests
{
    private static readonly DateTimeOffset Begin = DateTimeOffset.UnixEpoch;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly ImageTopic Topic = RandomImages.Topic("orders", [1, 2], [1, 2], [2, 1]);
    // Broker 2 leads all three partitions; it is the preferred replica of partition 2.
    private static readonly ClusterImage Moved = RandomImages.Brokers(2)
        .WithTopic(Topic with { Partitions = [.. Topic.Partitions.Select(some => some with { Leader = 2 })] });

    [Fact]
    public void Leadership_returns_when_the_preferred_replica_has_been_in_sync_for_a_while()
    {
        var (waiting, none) = Next(ImmutableDictionary<ReplicaKey, DateTimeOffset>.Empty, Moved, 0);
        Assert.Empty(none);
        Assert.Empty(Next(waiting, Moved, 29).Actions);
        var (again, actions) = Next(waiting, Moved, 30);
        Assert.Equal([0, 1], actions.Select(action => action.Key.Partition));
        Assert.All(actions, action => Assert.Equal((RebalanceActionKind.HandOver, 1), (action.Kind, action.Replicas[0])));
        // A failed return is not retried at once.
        Assert.Empty(Next(again, Moved, 31).Actions);
        Assert.Equal(2, Next(again, Moved, 60).Actions.Count);
    }

    [Fact]
    public void Leadership_returns_are_limited_in_number()
    {
        var waiting = Next(ImmutableDictionary<ReplicaKey, DateTimeOffset>.Empty, Moved, 0).Waiting;
        var (after, first) = LeaderReturn.Next(waiting, Moved, Begin + Patience, Patience, most: 1);
        Assert.Equal(0, Assert.Single(first).Key.Partition);
        Assert.Equal(1, Assert.Single(LeaderReturn.Next(after, Moved, Begin + Patience, Patience, most: 1).Actions).Key.Partition);
    }

    [Fact]
    public void Replica_that_cannot_lead_or_left_waits_again()
    {
        var waiting = Next(ImmutableDictionary<ReplicaKey, DateTimeOffset>.Empty, Moved, 0).Waiting;
        ClusterImage[] cannot =
        [
            With(partition => partition with { Isr = [2] }),
            With(partition => partition with { Leader = -1 }),
            With(partition => partition with { Target = [2, 1] }),
            Moved with { Brokers = Moved.Brokers.SetItem(1, Moved.Brokers[1] with { IsAlive = false }) },
            Moved with { Brokers = Moved.Brokers.SetItem(1, Moved.Brokers[1] with { IsDraining = true }) },
        ];
        Assert.All(cannot, image =>
        {
            var (left, actions) = Next(waiting, image, 40);
            Assert.Empty(actions);
            Assert.Empty(left);
            Assert.Empty(Next(left, Moved, 41).Actions);
        });
    }

    private static ClusterImage With(Func<ImagePartition, ImagePartition> change) =>
        Moved.WithTopic(Moved.Topics[Topic.TopicId] with { Partitions = [.. Moved.Topics[Topic.TopicId].Partitions.Select(change)] });

    private static (ImmutableDictionary<ReplicaKey, DateTimeOffset> Waiting, IReadOnlyList<RebalanceAction> Actions) Next(
        ImmutableDictionary<ReplicaKey, DateTimeOffset> waiting, ClusterImage image, int seconds) =>
        LeaderReturn.Next(waiting, image, Begin + TimeSpan.FromSeconds(seconds), Patience, most: 4);
}
