using OrleansMq.Api;
using OrleansMq.Log;
using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Three brokers (1, 2, 3) and one partition on all of them.</summary>
internal sealed class ReplicatedPartition : IAsyncDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);
    public static readonly ReplicaKey Key = new(new Guid("11112222-3333-4444-5555-666677778888"), 0);
    public static readonly ReplicationOptions Patient = new()
    {
        // A busy machine must not cost a replica its place in the ISR.
        ReplicaLagTimeMax = TimeSpan.FromSeconds(20),
        LeaderLease = TimeSpan.FromSeconds(2),
        AppendTimeout = TimeSpan.FromSeconds(60),
    };

    private const int ReportedLines = 15;
    private readonly int _seed;

    private ReplicatedPartition(MemoryCluster cluster, TopicConfig config, int seed) => (Cluster, Config, _seed) = (cluster, config, seed);

    public MemoryCluster Cluster { get; }
    public TopicConfig Config { get; }
    public TestBroker this[int broker] => Cluster.Brokers[broker];

    public static Task<ReplicatedPartition> StartAsync(TopicConfig? config = null, int seed = 0, ReplicationOptions? options = null,
        Func<int, string>? directories = null) => StartAsync(_ => options ?? Patient, config, seed, directories);

    /// <summary>Starts brokers with options of their own.</summary>
    public static async Task<ReplicatedPartition> StartAsync(Func<int, ReplicationOptions> optionsOf, TopicConfig? config = null,
        int seed = 0, Func<int, string>? directories = null)
    {
        var partition = new ReplicatedPartition(new MemoryCluster(seed), config ?? TopicConfig.Default with { MinInsyncReplicas = 2 },
            seed);
        partition.Cluster.Specs[Key] = new ReplicaSpec("t", partition.Config);
        partition.Cluster.Create(Key, PartitionState.Create(Key.TopicId, [1, 2, 3]));
        foreach (var id in (int[])[1, 2, 3])
            await new TestBroker(partition.Cluster, id, optionsOf(id), directories?.Invoke(id)).StartAsync();
        return partition;
    }

    public PartitionState State => Cluster.Find(Key)!.State;

    public Replica ReplicaOf(int broker) => this[broker].Manager.GetOrCreate(Key, Cluster.Specs[Key]);

    public SegmentedLog LogOf(int broker) => ReplicaOf(broker).Partition.Log!;

    public async Task<Replica> LeadAsync(int broker)
    {
        using var timeout = new CancellationTokenSource(Deadline);
        var result = await ReplicaOf(broker).LeadAsync(new ClaimRequest([]), timeout.Token);
        Assert.True(result.Outcome == ClaimOutcome.Claim, $"{result.Outcome}: {result.Message}");
        return ReplicaOf(broker);
    }

    /// <summary>Waits until that many replicas are in sync.</summary>
    public Task InSyncAsync(int replicas) => Until(() => State.Isr.Length == replicas, () => $"in sync: {State}; {Reports()}");

    /// <summary>Appends with acks=all and retries, like an idempotent producer.</summary>
    public async Task<long> AppendAsync(string value, int producer = -1, int sequence = -1)
    {
        var started = DateTime.UtcNow;
        while (true)
        {
            var batch = producer < 0 ? PartitionRig.Batch(1, value)
                : PartitionRig.Batch(1, b => b.SetProducer(producer, 0, sequence), value);
            var leader = Cluster.Brokers.Values.FirstOrDefault(b => b.IsUp && ReplicaOf(b.Id).Role == ReplicaRole.Leader);
            if (leader is not null)
            {
                var result = await ReplicaOf(leader.Id).Partition.AppendAsync(batch, Acks.All);
                if (result.Error == ErrorCode.None)
                    return result.BaseOffset;
                Assert.True(result.Error.Action() == ErrorAction.Retry || result.Error == ErrorCode.KafkaStorageError,
                    $"{result.Error}: {result.Message}");
            }
            Assert.True(DateTime.UtcNow - started < Deadline, $"nothing was acknowledged in time: {State}; {Reports()}");
            await Task.Yield();
        }
    }

    public static async Task Until(Func<bool> condition, Func<string> describe)
    {
        var deadline = DateTime.UtcNow + Deadline;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < deadline, $"Timed out: {describe()}");
            await Task.Delay(5);
        }
    }

    /// <summary>Returns all bytes below the high watermark.</summary>
    public byte[] BytesOf(int broker)
    {
        var partition = ReplicaOf(broker).Partition;
        var bytes = new List<byte>();
        for (var offset = partition.LogStartOffset; offset < partition.HighWatermark;)
        {
            using var read = partition.Log!.Read(offset, partition.HighWatermark, 1 << 20);
            if (read is null)
                break;
            bytes.AddRange(read.Memory.Span);
            offset = read.NextOffset;
        }
        return [.. bytes];
    }

    public async Task<IReadOnlyList<(long Offset, string Value)>> ReadAsync(int broker)
    {
        var values = new List<(long, string)>();
        var deadline = DateTime.UtcNow + Deadline;
        var partition = ReplicaOf(broker).Partition;
        for (var offset = partition.LogStartOffset; offset < partition.HighWatermark;)
        {
            using var result = await partition.ReadAsync(new FetchRequest(partition.TopicPartition, offset));
            // After a pause longer than its lease a leader refuses, until a follower has answered again.
            if (result.Error == ErrorCode.NotLeaderOrFollower && DateTime.UtcNow < deadline)
            {
                await Task.Delay(10);
                continue;
            }
            Assert.True(result.Error == ErrorCode.None, $"{result.Error}: {result.Message}");
            values.AddRange(Shared.TestBatches.Read(result.Records));
            offset = values[^1].Item1 + 1;
        }
        return values;
    }

    /// <summary>Waits until every replica has reached the leader's end, and checks that all hold the same bytes in the same
    /// files.</summary>
    public async Task AllTheSameAsync(bool sameBytes = true)
    {
        var brokers = Cluster.Brokers.Values.Where(b => b.IsUp).Select(b => b.Id).Order().ToArray();
        var leader = brokers.Single(b => ReplicaOf(b).Role == ReplicaRole.Leader);
        var end = LogOf(leader).LogEndOffset;
        await Until(() => brokers.All(b => ReplicaOf(b).Partition.HighWatermark == end), Reports);
        var first = BytesOf(leader);
        foreach (var broker in brokers)
        {
            Assert.Equal(end, LogOf(broker).LogEndOffset);
            if (sameBytes)
                Assert.Equal(first, BytesOf(broker));
        }
    }

    // What every replica says of itself, and what its broker logged last.
    private string Reports() => (_seed == 0 ? "" : Seeds.Replay(_seed))
        + string.Concat(Cluster.Brokers.Values.OrderBy(b => b.Id).Select(b => $"\n{Report(b)}"));

    private string Report(TestBroker broker) => string.Join("\n  ", broker.Lines.Latest(ReportedLines).Prepend(!broker.IsUp
        ? $"{broker.Id} is down"
        : $"{broker.Id}: {ReplicaOf(broker.Id).Role} {ReplicaOf(broker.Id).Partition.Availability.OfflineReason} "
            + $"{ReplicaOf(broker.Id).Report()}"));

    public async ValueTask DisposeAsync()
    {
        foreach (var broker in Cluster.Brokers.Values.Where(b => b.IsUp))
            await broker.StopAsync();
    }
}
