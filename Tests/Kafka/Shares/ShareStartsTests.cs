using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Shares;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>Where a group begins.</summary>
public sealed class ShareStartsTests
{
    [Fact]
    public void Age_beyond_any_calendar_is_the_first_record()
    {
        Assert.Equal(0, ShareStarts.SinceOf(DateTimeOffset.UnixEpoch.AddYears(50), TimeSpan.FromDays(1_000_000)));
        Assert.Equal(1_000, ShareStarts.SinceOf(DateTimeOffset.UnixEpoch.AddSeconds(61), TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public async Task Partition_that_does_not_answer_keeps_no_member_from_the_others()
    {
        LeaderlessPartition leaderless = null!;
        await using var server = await KafkaServer.StartAsync(wrap: broker => LeaderlessPartition.Of(broker, 1, out leaderless));
        await server.Broker.CreateTopicAsync(new NewTopic("orders", 3));
        using var member = await ShareWire.OpenAsync(server);
        var joined = await member.BeatAsync(0);
        Assert.Equal(0, ShareWire.Error(joined));
        Assert.Contains("Partitions: [0, 2]", joined, StringComparison.Ordinal);
        var epoch = ShareWire.Of("MemberEpoch", joined)[0];
        Assert.DoesNotContain("Partitions:", await member.BeatAsync(epoch), StringComparison.Ordinal);
        // What comes after the join is delivered, although its partition is found later.
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        await server.Broker.ProduceAsync(new TopicPartition("orders", 1), TestBatches.At(now + 1_000, "late"), Acks.All);
        leaderless.Partition = -1;
        // The look-up is repeated a while after it failed.
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        while (await member.BeatAsync(epoch) is var beat && !beat.Contains("Partitions: [0, 1, 2]", StringComparison.Ordinal))
        {
            Assert.DoesNotContain("Partitions:", beat, StringComparison.Ordinal);
            await Task.Delay(100, patience.Token);
        }
        var cursors = await server.Broker.Groups.SendAsync(new FindShareCursors("g"));
        Assert.Equal(0, Assert.Single(cursors.Topics).FindReset(1)!.StartOffset);
    }

    /// <summary>A broker on which one partition does not tell its offsets.</summary>
    public class LeaderlessPartition : DispatchProxy
    {
        private IBroker _broker = null!;

        public int Partition { get; set; }

        internal static IBroker Of(IBroker broker, int partition, out LeaderlessPartition leaderless)
        {
            var proxy = Create<IBroker, LeaderlessPartition>();
            leaderless = (LeaderlessPartition)(object)proxy;
            (leaderless._broker, leaderless.Partition) = (broker, partition);
            return proxy;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            targetMethod!.Name == nameof(IBroker.FindOffsetAsync) && ((TopicPartition)args![0]!).Partition == Partition
                ? new ValueTask<OffsetResult>(new OffsetResult(ErrorCode.LeaderNotAvailable, -1))
                : targetMethod.Invoke(_broker, args);
    }
}
