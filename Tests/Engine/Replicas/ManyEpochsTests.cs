using System.Collections.Concurrent;
using OrleansMq.Records;
using OrleansMq.Replication;
using OrleansMq.Replication.Links;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>A broker stops or starts with thousands of replicas: their flushes share the disk's time.</summary>
public sealed class ManyEpochsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task First_pushes_of_a_bundle_are_taken_side_by_side_and_neither_creations_nor_the_next_bundle_are_in_the_way()
    {
        var broker = new TestBroker(new MemoryCluster(0), 2, ReplicatedPartition.Patient);
        using var files = new MeetingFiles(broker.Files, 5);
        broker.Files = files;
        broker.Spec = _ => new ReplicaSpec("t", TopicConfig.Default);
        await broker.StartAsync();
        for (var i = 0; i < 5; i++)
            Assert.NotNull(broker.Manager.GetOrCreate(new ReplicaKey(ReplicatedPartition.Key.TopicId, i)));
        using var end = new ManualResetEventSlim();
        var creations = Occupy(broker, end);
        files.Arm();
        // Four flushes wait for the one of the second bundle.
        await broker.ReceiveAsync(1, FirstPushes(0, 4)).AsTask().WaitAsync(ReplicatedPartition.Deadline);
        await Task.Run(() => broker.ReceiveAsync(1, FirstPushes(4, 1)).AsTask()).WaitAsync(ReplicatedPartition.Deadline);
        await Wait.UntilAsync(() => broker.Manager.Replicas.All(replica => replica.LeaderEpoch == 1), ReplicatedPartition.Deadline);
        Assert.True(files.HaveMet);
        end.Set();
        await creations;
        await broker.StopAsync();
    }

    [Fact]
    public async Task First_pushes_of_a_bundle_create_the_replicas_that_are_missing()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var broker = partition[2];
        var topic = ReplicatedPartition.Key.TopicId;
        for (var i = 1; i < 50; i++)
            partition.Cluster.Specs[new ReplicaKey(topic, i)] = partition.Cluster.Specs[ReplicatedPartition.Key];
        // The last of them is not assigned to this broker.
        await broker.ReceiveAsync(1, FirstPushes(1, 50));
        await Wait.UntilAsync(() => broker.Manager.Replicas.Count(replica => replica.LeaderEpoch == 1) == 49, ReplicatedPartition.Deadline);
        Assert.All(broker.Manager.Replicas.Where(replica => replica.Key.Partition > 0),
            replica => Assert.Equal(1, replica.Partition.Log!.Marks.Fence));
        Assert.False(broker.Manager.TryGet(new ReplicaKey(topic, 50), out _));
    }

    [Fact]
    public async Task Leadership_does_not_begin_behind_creations()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        using var end = new ManualResetEventSlim();
        var creations = Occupy(partition[1], end);
        var leads = partition.LeadAsync(1);
        Assert.Same(leads, await Task.WhenAny(leads, Task.Delay(Patience)));
        await leads;
        end.Set();
        await creations;
    }

    [Fact]
    public async Task Partitions_are_closed_side_by_side()
    {
        var broker = new TestBroker(new MemoryCluster(0), 1, ReplicatedPartition.Patient);
        var count = 2 * Environment.ProcessorCount;
        using var files = new MeetingFiles(broker.Files, count);
        broker.Files = files;
        await broker.StartAsync();
        for (var i = 0; i < count; i++)
        {
            var partition = broker.Store.GetOrCreate(new TopicPartition("t", i), ReplicatedPartition.Key.TopicId, TopicConfig.Default);
            Assert.Equal(ErrorCode.None, (await partition.AppendAsync(PartitionRig.Batch(1, "v"), Acks.All)).Error);
        }
        files.Arm();
        await broker.StopAsync();
        Assert.True(files.HaveMet);
    }

    // Work for more creations than there are threads.
    private static Task Occupy(TestBroker broker, ManualResetEventSlim end) =>
        Task.WhenAll(Enumerable.Range(0, 64).Select(_ =>
            broker.Store.Ports.Creation.RunAsync(() => end.Wait(ReplicatedPartition.Deadline))));

    private static ReadOnlyMemory<byte> FirstPushes(int first, int count)
    {
        using var bundle = new PooledBuffer();
        foreach (var number in Enumerable.Range(first, count))
            BundleWriter.Add(bundle, new ReplicaKey(ReplicatedPartition.Key.TopicId, number),
                new Push(ReplicatedPartition.Key.TopicId, 1, 1, 1, 0, 0, -1, [], 0, [], 0, 0, 0, 0));
        return bundle.WrittenSpan.ToArray();
    }

    /// <summary>A disk on which the first change of each thread waits for those of others.</summary>
    private sealed class MeetingFiles(IFileSystem inner, int threads) : WrappedFileSystem(inner), IDisposable
    {
        private readonly CountdownEvent _left = new(threads);
        private readonly ConcurrentDictionary<int, bool> _threads = new();
        private volatile bool _armed;

        public bool HaveMet => _left.IsSet;

        public void Arm() => _armed = true;

        public void Dispose() => _left.Dispose();

        public override IFile Open(string path, FileOpening mode) => new WrappedFile(Inner.Open(path, mode), Changing);

        protected override void Changing()
        {
            if (!_armed || !_threads.TryAdd(Environment.CurrentManagedThreadId, true) || _left.IsSet)
                return;
            _left.Signal();
            _left.Wait(Patience);
        }
    }
}
