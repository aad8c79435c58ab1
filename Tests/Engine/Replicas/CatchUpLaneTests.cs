using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Replication;
using OrleansMq.Replication.Links;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

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
        await Wait.UntilAsync(async () =>
        {
            await partition.AppendAsync("live");
            return partition.State.Isr.Length == 3;
        }, ReplicatedPartition.Deadline);
        await partition.AllTheSameAsync();
    }

    [Fact]
    public async Task Replicas_of_many_partitions_share_the_bundles_that_give_way_to_live_traffic()
    {
        const int Partitions = 60;
        var cluster = new MemoryCluster(seed: 0);
        var keys = Enumerable.Range(0, Partitions).Select(static number => new ReplicaKey(Key.TopicId, number)).ToArray();
        foreach (var key in keys)
        {
            cluster.Specs[key] = new ReplicaSpec("t", TopicConfig.Default with { MinInsyncReplicas = 2 });
            cluster.Create(key, PartitionState.Create(key.TopicId, [1, 2, 3]));
        }
        foreach (var id in (int[])[1, 2, 3])
        {
            await new TestBroker(cluster, id, ReplicatedPartition.Patient with { CatchUpLiveShare = 1,
                ReplicaLagTimeMax = TimeSpan.FromSeconds(5) }).StartAsync();
        }
        var leaders = keys.Select(key => cluster.Brokers[1].Manager.GetOrCreate(key, cluster.Specs[key])).ToArray();
        foreach (var leader in leaders)
            Assert.Equal(ClaimOutcome.Claim, (await leader.LeadAsync(new ClaimRequest([]), CancellationToken.None)).Outcome);
        await InSyncAsync(3);
        await cluster.Brokers[3].StopAsync();
        await InSyncAsync(2);
        // In the first round of rests all of them wait for their turn, but for a few.
        var most = 0;
        cluster.OnBundle = (to, bundle) =>
        {
            if (to == 3 && PushesOf(bundle) is var pushes && pushes > most)
                most = pushes;
        };
        using var stop = new CancellationTokenSource();
        var appending = AppendAsync();
        await cluster.Brokers[3].StartAsync();
        try
        {
            await InSyncAsync(3);
        }
        finally
        {
            await stop.CancelAsync();
            await appending;
            foreach (var broker in cluster.Brokers.Values)
                await broker.StopAsync();
        }
        Assert.InRange(most, Partitions / 4, int.MaxValue);

        async Task AppendAsync()
        {
            while (!stop.IsCancellationRequested)
            {
                foreach (var leader in leaders)
                {
                    var appended = await leader.Partition.AppendAsync(PartitionRig.Batch(1, "live"), Acks.All);
                    Assert.Equal(ErrorCode.None, appended.Error);
                }
                await Task.Delay(20, CancellationToken.None);
            }
        }

        Task InSyncAsync(int replicas) => ReplicatedPartition.Until(
            () => keys.All(key => cluster.Find(key)!.State.Isr.Length == replicas),
            () => $"in sync are {string.Join(", ", keys.Select(key => cluster.Find(key)!.State.Isr.Length))}");
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

    // Those of a bundle that gives way; others have none.
    private static int PushesOf(ReadOnlyMemory<byte> bundle)
    {
        var pushes = 0;
        var reader = new BundleReader(bundle);
        while (BundleFormat.MarksOf(bundle.Span).HasFlag(BundleMarks.CatchUp) && reader.TryRead(out _, out var message))
            pushes += message is Push ? 1 : 0;
        return pushes;
    }
}
