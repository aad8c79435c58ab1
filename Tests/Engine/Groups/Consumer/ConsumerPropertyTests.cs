using System.Text.Json;
using FsCheck.Fluent;
using OrleansMq.Coordination;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

public class ConsumerPropertyTests
{
    [Fact]
    public void Partition_has_one_reader_at_any_time_and_in_the_end()
    {
        var steps = 0;
        Properties.ForAll(Gen.Choose(1, int.MaxValue), seed =>
        {
            var run = new RandomConsumers(seed);
            try
            {
                run.Run(200);
            }
            catch (Exception exception)
            {
                throw new Xunit.Sdk.XunitException($"seed {seed}, step {run.Steps}: {exception.Message}\n{run.Log}", exception);
            }
            steps += run.Steps;
        }, count: 300);
        Assert.True(steps > 10_000, $"only {steps} steps: most runs ended at once");
    }

    [Fact]
    public void Partition_set_operations_equal_those_of_hash_sets()
    {
        var sets = Gen.Choose(0, 5).Two().Select(pair => new TopicIdPartition(new Guid(pair.Item1, 0, 0, new byte[8]), pair.Item2)).ListOf()
            .Select(list => list.ToHashSet());
        Properties.ForAll(sets.Two(), pair =>
        {
            var (one, other) = (PartitionSet.Of(pair.Item1), PartitionSet.Of(pair.Item2));
            Assert.Equal(pair.Item1.Order(), one);
            Assert.Equal(pair.Item1.Union(pair.Item2).Order(), one.Union(other));
            Assert.Equal(pair.Item1.Except(pair.Item2).Order(), one.Except(other));
            Assert.Equal(pair.Item1.Intersect(pair.Item2).Order(), one.Intersect(other));
            Assert.Equal(pair.Item1.Overlaps(pair.Item2), one.Overlaps(other));
            Assert.Equal(pair.Item1.IsSubsetOf(pair.Item2), one.IsSubsetOf(other));
            Assert.Equal(pair.Item1.SetEquals(pair.Item2), one.Equals(other));
            Assert.Equal(one, PartitionSet.Of(one.ToTopicPartitions()));
            Assert.Equal(one, JsonSerializer.Deserialize<PartitionSet>(JsonSerializer.Serialize(one)));
        });
    }

    [Fact]
    public void Stored_group_round_trips()
    {
        var topics = new TestTopics();
        topics.Set("t", 4);
        var now = DateTimeOffset.UnixEpoch;
        var options = new OrleansMq.Groups.GroupOptions();
        var group = ConsumerGroup.Create(now);
        foreach (var (member, regex) in new[] { ("a", null), ("b", "t.*") })
            group = ConsumerGroupDecision.Heartbeat(group, new() { GroupId = "g", MemberId = member, InstanceId = $"of {member}",
                RackId = "r", SubscribedTopicNames = ["t"], SubscribedTopicRegex = regex }, "", topics.Topics, now, options).Next;
        group = ConsumerGroupDecision.Heartbeat(group, new() { GroupId = "g", MemberId = "a", MemberEpoch = 1 }, "", topics.Topics, now,
            options).Next;
        var document = new GroupDocument { Coordinator = new CoordinatorClaim(3, Guid.NewGuid()),
            Type = GroupType.Consumer, Consumer = group.State };
        var read = GroupDocument.Parse(document.ToBytes()).Consumer!;
        Assert.Equal(JsonSerializer.Serialize(group.State), JsonSerializer.Serialize(read));
        Assert.Equal(ConsumerMemberStatus.UnrevokedPartitions, read.Members["a"].Status);
        Assert.Equal(group.State.Members["a"].Revoking, read.Members["a"].Revoking);
        Assert.Throws<JsonException>(() => GroupDocument.Parse(System.Text.Encoding.UTF8.GetBytes(
            """
            {"version":1,"coordinator":{"epoch":1,"token":"6f9619ff-8b86-d011-b42d-00c04fc964ff"},"type":"consumer",
            "consumer":{"members":{"a":{"memberId":"a","assigned":[{"topicId":5}]}}}}
            """)));
    }
}
