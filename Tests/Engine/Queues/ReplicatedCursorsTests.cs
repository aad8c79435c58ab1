using System.Diagnostics;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.Replicas;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Cursors of a partition with three replicas: the state follows the leadership.</summary>
public sealed class ReplicatedCursorsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly CursorConfiguration Configuration = new() { Name = "c" };
    private static readonly ReplicationOptions ShortLease =
        ReplicatedPartition.Patient with { LeaderLease = TimeSpan.FromMilliseconds(800) };

    [Fact]
    public async Task Next_leader_delivers_what_is_not_settled()
    {
        await using var partition = await ReplicatedPartition.StartAsync(options: ShortLease);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await BeginAsync(partition, 1);
        for (var i = 0; i < 10; i++)
            await partition.AppendAsync($"{i}");
        var former = await CursorsOf(partition, 1).AttachAsync("c", new AttachOptions());
        using (var received = (await former.ReceiveAsync(6, Patience))!)
        {
            var settled = new OffsetRange(received.Records[0].Record.Offset, received.Records[3].Record.Offset);
            Assert.Equal(CursorOutcome.Done, (await former.SettleAsync(received.Lock, settled).WaitAsync(Patience)).Outcome);
        }
        var waiting = former.ReceiveAsync(10, Patience);
        await waiting.WaitAsync(Patience); // The rest, which the former leader delivered and lost.
        var ended = former.ReceiveAsync(10, Patience);
        await partition[1].KillAsync();
        Assert.Equal(ErrorCode.NotLeaderOrFollower, (await Assert.ThrowsAsync<BrokerException>(() => ended)).Code);

        await partition.LeadAsync(2);
        var consumer = await CursorsOf(partition, 2).AttachAsync("c", new AttachOptions());
        var values = new List<string>();
        while (values.Count < 6)
        {
            using var received = (await consumer.ReceiveAsync(10, Patience))!;
            Assert.All(received.Records, one => Assert.True(one.IsRedelivered));
            values.AddRange(received.Records.Select(one => Encoding.UTF8.GetString(one.Record.Value!.Value.Span)));
        }
        Assert.Equal(["4", "5", "6", "7", "8", "9"], values);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task New_leader_delivers_nothing_before_the_lease_of_the_former_has_ended(bool isClockSetForward)
    {
        var lease = TimeSpan.FromSeconds(3);
        await using var partition = await ReplicatedPartition.StartAsync(broker => ReplicatedPartition.Patient with
        {
            LeaderLease = lease,
            // The successor has a lease when the former leader is out of the ISR, long before that one's has ended. The former must not
            // remove the successor on a busy machine.
            ReplicaLagTimeMax = broker == 1 ? ReplicatedPartition.Patient.ReplicaLagTimeMax : lease / 3,
        });
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await BeginAsync(partition, 1);
        await partition.AppendAsync("one");
        // Its reservation is in force everywhere, so the successor needs nothing but the time.
        var former = await CursorsOf(partition, 1).AttachAsync("c", new AttachOptions());
        using (await former.ReceiveAsync(1, Patience))
        {
            var end = partition.LogOf(1).LogEndOffset;
            var deadline = DateTime.UtcNow + Patience;
            while (partition.ReplicaOf(2).Partition.HighWatermark < end || partition.ReplicaOf(3).Partition.HighWatermark < end)
            {
                Assert.True(DateTime.UtcNow < deadline, "The replicas did not follow.");
                await Task.Delay(10);
            }
        }
        // Cut off, it still believes that it leads.
        partition.Cluster.Isolate(1);
        var isolated = Stopwatch.GetTimestamp();
        await partition.LeadAsync(2);
        var consumer = await CursorsOf(partition, 2).AttachAsync("c", new AttachOptions());
        // The term has begun.
        if (isClockSetForward)
            partition[2].Clock.Ahead = TimeSpan.FromHours(1);
        using var received = (await consumer.ReceiveAsync(1, Patience))!;
        Assert.Single(received.Records);
        Assert.InRange(Stopwatch.GetElapsedTime(isolated), lease, TimeSpan.MaxValue);
        partition.Cluster.Mend();
    }

    [Fact]
    public async Task Every_replica_derives_the_same_cursors_also_one_that_begins_empty()
    {
        var config = TopicConfig.Default with { MinInsyncReplicas = 2, SegmentBytes = 2_000 };
        await using var partition = await ReplicatedPartition.StartAsync(config, options: ShortLease);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await BeginAsync(partition, 1);
        var consumer = await CursorsOf(partition, 1).AttachAsync("c", new AttachOptions { Prefetch = 10 });
        for (var i = 0; i < 40; i++)
        {
            await partition.AppendAsync($"{i}");
            using var received = (await consumer.ReceiveAsync(0, Patience))!;
            foreach (var one in received.Records)
            {
                var offset = OffsetRange.Of(one.Record.Offset);
                Assert.Equal(CursorOutcome.Done, (one.Record.Offset % 3 == 0 && one.Counts.Deliveries == 1
                    ? await consumer.ReleaseAsync(received.Lock, offset, isFailure: true)
                    : await consumer.SettleAsync(received.Lock, offset)).Outcome);
            }
        }
        await partition[3].StopAsync();
        partition[3].Files.DeleteDirectory(Path.Combine(partition[3].Data, "logs"));
        await partition[3].StartAsync();
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
        var expected = Describe(partition, 1);
        Assert.Equal((expected, expected), (Describe(partition, 2), Describe(partition, 3)));
    }

    [Fact]
    public async Task Settlement_without_enough_replicas_is_answered_once_they_are_back()
    {
        await using var partition = await ReplicatedPartition.StartAsync(options: ShortLease);
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await BeginAsync(partition, 1);
        await partition.AppendAsync("one");
        var consumer = await CursorsOf(partition, 1).AttachAsync("c", new AttachOptions());
        using var received = (await consumer.ReceiveAsync(1, Patience))!;
        await partition[2].StopAsync();
        await partition[3].StopAsync();
        await partition.InSyncAsync(1);
        var settlement = consumer.SettleAsync(received.Lock, OffsetRange.Of(received.Records[0].Record.Offset));
        Assert.NotEqual(settlement, await Task.WhenAny(settlement, Task.Delay(300)));
        await partition[2].StartAsync();
        Assert.Equal(CursorOutcome.Done, (await settlement.WaitAsync(Patience)).Outcome);
    }

    [Fact]
    public async Task New_leader_that_does_not_know_its_end_answers_no_peek()
    {
        await using var partition = await ReplicatedPartition.StartAsync(options: ShortLease);
        var former = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await former.Partition.Cursors.Queues.CreateAsync(new NewQueue("work") { Start = OffsetSpec.Earliest }, CancellationToken.None);
        await partition[3].StopAsync();
        // The second replica has it, and cannot know that it is committed.
        var appended = await former.Partition.AppendAsync(PartitionRig.Batch(1, "one"), Acks.Leader);
        Assert.Equal(ErrorCode.None, appended.Error);
        await ReplicatedPartition.Until(() => partition.LogOf(2).LogEndOffset > appended.BaseOffset, () => "replicated");
        await partition[1].KillAsync();
        var next = await partition.LeadAsync(2);
        Assert.InRange(next.Partition.HighWatermark, 0, appended.BaseOffset);
        var refusals = 0;
        IReadOnlyList<QueueRecord>? peeked = null;
        var deadline = DateTime.UtcNow + Patience;
        while (peeked is null)
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not answer.");
            try
            {
                peeked = await next.Partition.Cursors.Queues.PeekAsync("work", 1, CancellationToken.None);
            }
            catch (BrokerException refused) when (refused.Code.Action() == ErrorAction.Retry)
            {
                // Its term has begun by then.
                if (++refusals == 50)
                    await partition[3].StartAsync();
                await Task.Delay(10);
            }
        }
        Assert.NotEqual(0, refusals);
        Assert.Equal(appended.BaseOffset, Assert.Single(peeked).Offset);
    }

    private static async Task BeginAsync(ReplicatedPartition partition, int broker)
    {
        var begun = await CursorsOf(partition, broker).BeginAsync(Guid.NewGuid(), Configuration, 0).WaitAsync(Patience);
        Assert.Equal(CursorOutcome.Done, begun.Outcome);
    }

    private static PartitionCursors CursorsOf(ReplicatedPartition partition, int broker) => partition.ReplicaOf(broker).Partition.Cursors;

    private static string Describe(ReplicatedPartition partition, int broker)
    {
        var log = partition.LogOf(broker);
        lock (log.AppendLock)
            return Convert.ToHexString(log.State.Cursors.EncodeSnapshot());
    }
}
