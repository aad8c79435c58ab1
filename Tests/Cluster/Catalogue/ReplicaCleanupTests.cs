using System.Collections.Immutable;
using OrleansMq.Clusters;
using OrleansMq.Grains.Topics;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Which of a broker's replicas an image concerns.</summary>
public sealed class ReplicaCleanupTests
{
    private static readonly Guid Orders = Guid.NewGuid();
    private static readonly Guid Payments = Guid.NewGuid();
    private static readonly ReplicaKey[] Held =
        [.. new[] { Orders, Payments }.SelectMany(topic => Enumerable.Range(0, 6).Select(number => new ReplicaKey(topic, number)))];

    [Fact]
    public void Replicas_of_a_deleted_topic_are_all_found_although_it_grew_since_the_last_cleanup()
    {
        var cleaned = Image(Topic("orders", Orders, 3), Topic("payments", Payments, 6));
        var deleted = cleaned.WithoutTopic(Orders) with { Deleted = [Orders] };
        Assert.Equal(Held[..6], ReplicaCleanup.Concerned(deleted, cleaned, () => Held));
    }

    [Fact]
    public void Replicas_of_a_topic_that_came_and_went_since_the_last_cleanup_are_found()
    {
        var cleaned = Image(Topic("payments", Payments, 6));
        Assert.Equal(Held[..6], ReplicaCleanup.Concerned(cleaned with { Deleted = [Orders] }, cleaned, () => Held));
    }

    [Fact]
    public void Replicas_of_a_changed_topic_are_found_without_a_look_at_the_others()
    {
        var cleaned = Image(Topic("orders", Orders, 3), Topic("payments", Payments, 6));
        var grown = cleaned.WithTopic(Topic("orders", Orders, 6));
        Assert.Equal(Held[..6], ReplicaCleanup.Concerned(grown, cleaned, () => throw new InvalidOperationException("All are looked at.")));
        Assert.Empty(ReplicaCleanup.Concerned(grown, grown, () => throw new InvalidOperationException("All are looked at.")));
    }

    private static ClusterImage Image(params ImageTopic[] topics) =>
        topics.Aggregate(ClusterImage.Empty, (image, topic) => image.WithTopic(topic));

    private static ImageTopic Topic(string name, Guid id, int partitions) => new(name, id, TopicStatus.Active, 1,
        ImmutableSortedDictionary<string, string>.Empty, [.. Enumerable.Repeat(ImagePartition.Create([1]), partitions)], partitions);
}
