using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Consumer;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>The cost of many members for the coordinator: decisions only, no store.</summary>
public class ConsumerCrowdTests(ITestOutputHelper output)
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UnixEpoch;

    [Theory]
    [InlineData(100, 1000)]
    [InlineData(200, 2000)]
    public void Many_members_joining_at_once_settle_within_few_heartbeats(int members, int partitions)
    {
        var topics = new TestTopics();
        topics.Set("t", partitions);
        var options = new GroupOptions();
        var group = ConsumerGroup.Create(Now);
        var told = new Dictionary<string, (int Epoch, IReadOnlyList<TopicPartitions> Held)>();
        var heartbeats = 0;
        void Beat(string member, bool isJoin)
        {
            heartbeats++;
            var decision = ConsumerGroupDecision.Heartbeat(group, new ConsumerGroupHeartbeat
            {
                GroupId = "g",
                MemberId = member,
                MemberEpoch = isJoin ? 0 : told[member].Epoch,
                SubscribedTopicNames = isJoin ? ["t"] : null,
                OwnedPartitions = isJoin ? [] : told[member].Held,
            }, "", topics.Topics, Now, options);
            group = decision.Next;
            told[member] = (decision.Reply!.MemberEpoch, decision.Reply.Assignment ?? told[member].Held);
        }

        var clock = Stopwatch.StartNew();
        var names = Enumerable.Range(0, members).Select(number => $"m{number:0000}").ToList();
        foreach (var member in names)
            Beat(member, isJoin: true);
        var joined = clock.Elapsed;
        var rounds = 0;
        for (; group.State.State != GroupState.Stable; rounds++)
        {
            Assert.True(rounds < 4, "more than four heartbeats each did not settle the group");
            foreach (var member in names)
                Beat(member, isJoin: false);
        }
        output.WriteLine($"{members} members, {partitions} partitions: joined after {joined.TotalMilliseconds:0} ms, settled after "
            + $"{clock.ElapsedMilliseconds} ms and {rounds} heartbeats each");
        Assert.All(told.Values, member => Assert.Equal(partitions / members, member.Held.Sum(topic => topic.Partitions.Count)));
        // An idle machine takes a small part of it; an algorithm of the wrong complexity takes minutes.
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(60), $"it took {clock.Elapsed}");
    }
}
