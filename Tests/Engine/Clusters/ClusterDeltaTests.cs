using FsCheck.Fluent;
using OrleansMq.Clusters;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Clusters;

public class ClusterDeltaTests
{
    [Fact]
    public void Delta_between_two_images_turns_one_into_the_other() => Properties.ForAll(
        from image in RandomImages.Any
        from seed in Gen.Choose(0, int.MaxValue)
        select (image, RandomImages.Change(image, new Random(seed))),
        pair =>
        {
            var (before, after) = pair;
            Assert.Equal(Bytes(after), Bytes(ClusterDelta.Between(before, after).Apply(before)!));
        }, count: 500);

    [Fact]
    public void Delta_round_trips_through_bytes() => Properties.ForAll(
        from image in RandomImages.Any
        from seed in Gen.Choose(0, int.MaxValue)
        select ClusterDelta.Between(image, RandomImages.Change(image, new Random(seed))),
        delta =>
        {
            var bytes = ClusterDeltaCodec.Write(delta);
            Assert.Equal(bytes.ToArray(), ClusterDeltaCodec.Write(ClusterDeltaCodec.Read(bytes.Span)).ToArray());
        });

    [Fact]
    public void Truncated_bytes_are_refused() => Properties.ForAll(RandomImages.Any, image =>
        {
        var bytes = ClusterDeltaCodec.Write(ClusterDelta.Between(ClusterImage.Empty, image));
        for (var length = 0; length < bytes.Length; length += Math.Max(1, bytes.Length / 50))
            Assert.Throws<InvalidDataException>(() => ClusterDeltaCodec.Read(bytes.Span[..length]));
    }, count: 50);

    [Fact]
    public void Other_version_is_refused_by_number()
    {
        var bytes = ClusterDeltaCodec.Write(ClusterDelta.Between(ClusterImage.Empty, ClusterImage.Empty)).ToArray();
        bytes[3] = 9;
        Assert.Contains("version 9", Assert.Throws<InvalidDataException>(() => ClusterDeltaCodec.Read(bytes)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_match_the_format_of_other_versions()
    {
        var changed = new ChangedPartition(new ReplicaKey(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), 1),
            new ImagePartition(2, 5, [2, 1], [2], [], []));
        var delta = new ClusterDelta(300, 301, 2, true, [], [], [], [], [changed], [], []);
        Assert.Equal("4F4D4301AC02AD020301000000000100112233445566778899AABBCCDDEEFF010305020201010200000000",
            Convert.ToHexString(ClusterDeltaCodec.Write(delta).Span));
        Assert.Equal("4F4D4301AC02AD020303E807000000000100112233445566778899AABBCCDDEEFF010305020201010200000000",
            Convert.ToHexString(ClusterDeltaCodec.Write(delta with { CatchUpMaxBytesPerSecond = 1000 }).Span));
    }

    [Fact]
    public void Gap_between_deltas_is_detected()
    {
        var first = RandomImages.Brokers(3) with { Version = 7 };
        var second = first with { Version = 8, Controller = 2 };
        var third = second with { Version = 9, AutoRebalance = true };
        Assert.Null(ClusterDelta.Between(second, third).Apply(first));
        Assert.Equal(9, ClusterDelta.Between(ClusterImage.Empty, third).Apply(first)!.Version);
    }

    [Fact]
    public void Change_of_one_partition_sends_only_that_partition()
    {
        var topic = RandomImages.Topic("t", [.. Enumerable.Range(0, 1000).Select(_ => new[] { 1, 2, 3 })]);
        var before = RandomImages.Brokers(3).WithTopic(topic) with { Version = 1 };
        var after = before.WithPartition(new(topic.TopicId, 17),
            topic.Partitions[17] with { Leader = 2, LeaderEpoch = 2 }) with { Version = 2 };
        var delta = ClusterDelta.Between(before, after);
        Assert.Equal(17, Assert.Single(delta.Partitions).Key.Partition);
        Assert.InRange(ClusterDeltaCodec.Write(delta).Length, 1, 60);
        Assert.InRange(ClusterDeltaCodec.Write(ClusterDelta.Between(ClusterImage.Empty, after)).Length, 1000, 15_000);
    }

    private static string Bytes(ClusterImage image)
    {
        var whole = ClusterDelta.Between(ClusterImage.Empty, image);
        // A dictionary by id has no defined order.
        return Convert.ToHexString(
            ClusterDeltaCodec.Write(whole with { Topics = [.. whole.Topics.OrderBy(topic => topic.Name, StringComparer.Ordinal)] }).Span);
    }
}
