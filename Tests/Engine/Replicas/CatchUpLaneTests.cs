using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Replication;
using OrleansMq.Replication.Links;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Pushes to replicas that catch up yield to live traffic, and still arrive.</summary>
public sealed class CatchUpLaneTests
{
    private static readonly ReplicaKey Key = ReplicatedPartition.Key;
    private static readonly PushAnswer Answer = new(Key.TopicId, 1, 1, new ReplicaIdentity(2, Guid.Empty), 1, PushAnswerOutcome.Accepted, 1,
        1, 1, 1);

    [Fact]
    public async Task Follower_rests_between_catch_up_bundles_and_accepts_live_ones_meanwhile()
    {
        var time = new ManualClock();
        var pace = new CatchUpPace(time) { LiveShare = 25 };
        pace.NoteLive();
        var ports = new PartitionPorts(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem(),
            TimeProvider = time, AppendThreads = 1 });
        using var threads = ports.Threads;
        var catchUp = new ReplicaInbox(ports, (reply, _) =>
        {
            time.Advance(TimeSpan.FromMilliseconds(10)); // The duration of the work.
            reply.Add(Key, Answer);
        }, time, pace);
        var live = new ReplicaInbox(ports, (reply, _) => reply.Add(Key, Answer), time, pace: null);

        var first = await catchUp.ReceiveAsync(1, default).WaitAsync(ReplicatedPartition.Deadline);
        Assert.Equal(BundleMarks.SenderIsLive, BundleFormat.MarksOf(first.Span));
        // From another broker, behind the same work.
        var second = catchUp.ReceiveAsync(3, default);
        await ReplicatedPartition.Until(() => time.TimerCount == 1, () => "it rests");
        Assert.Equal(BundleMarks.None,
            BundleFormat.MarksOf((await live.ReceiveAsync(1, default).WaitAsync(ReplicatedPartition.Deadline)).Span));
        time.Advance(TimeSpan.FromMilliseconds(29));
        Assert.False(second.IsCompleted);
        time.Advance(TimeSpan.FromMilliseconds(1));
        await second.WaitAsync(ReplicatedPartition.Deadline);
    }

    [Fact]
    public async Task Replica_catches_up_beside_live_traffic_with_any_share()
    {
        await using var partition = await ReplicatedPartition.StartAsync(options: ReplicatedPartition.Patient with { CatchUpLiveShare = 1,
            ReplicaLagTimeMax = TimeSpan.FromSeconds(2) });
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition[3].StopAsync();
        await partition.InSyncAsync(2);
        for (var i = 0; i < 20; i++)
            await partition.AppendAsync(new string('v', 50_000));
        await partition[3].StartAsync();
        while (partition.State.Isr.Length < 3)
            await partition.AppendAsync("live");
        await partition.AllTheSameAsync();
    }

    [Fact]
    public async Task Replicas_catch_up_despite_lost_and_reordered_bundles()
    {
        await using var partition = await ReplicatedPartition.StartAsync(seed: 7,
            options: ReplicatedPartition.Patient with { ReplicaLagTimeMax = TimeSpan.FromSeconds(2) });
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition[3].StopAsync();
        await partition.InSyncAsync(2);
        for (var i = 0; i < 20; i++)
            await partition.AppendAsync(new string('v', 50_000));
        (partition.Cluster.LossPercent, partition.Cluster.DoublePercent, partition.Cluster.MaxDelayMs) = (10, 10, 20);
        await partition[3].StartAsync();
        await partition.InSyncAsync(3);
        (partition.Cluster.LossPercent, partition.Cluster.DoublePercent, partition.Cluster.MaxDelayMs) = (0, 0, 0);
        await partition.AllTheSameAsync();
    }
}
