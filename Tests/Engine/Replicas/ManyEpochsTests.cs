using System.Collections.Concurrent;
using OrleansMq.Api;
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
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task First_pushes_of_a_bundle_are_taken_side_by_side_and_not_behind_creations()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var broker = partition[2];
        using var end = new ManualResetEventSlim();
        var creations = Occupy(broker, end);
        using var all = new CountdownEvent(4);
        var asked = new ConcurrentDictionary<ReplicaKey, bool>();
        broker.Spec = key =>
        {
            if (asked.TryAdd(key, true))
                all.Signal();
            return all.Wait(Patience) ? null : throw new TimeoutException("The pushes are taken one after the other.");
        };
        await Task.Run(() => broker.ReceiveAsync(1, FirstPushes(4)).AsTask()).WaitAsync(ReplicatedPartition.Deadline);
        Assert.Equal(4, asked.Count);
        end.Set();
        await creations;
    }

    [Fact]
    public async Task First_pushes_of_a_bundle_are_all_answered_and_in_the_order_of_each_replica()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var broker = partition[2];
        var topic = ReplicatedPartition.Key.TopicId;
        for (var i = 0; i < 50; i++)
            partition.Cluster.Specs[new ReplicaKey(topic, i)] = partition.Cluster.Specs[ReplicatedPartition.Key];
        var answers = new BundleReader(await broker.ReceiveAsync(1, FirstPushes(50, pushesEach: 3)));
        var sequences = new Dictionary<ReplicaKey, List<long>>();
        while (answers.TryRead(out var key, out var message))
        {
            if (message is not PushAnswer answer)
                continue;
            Assert.Equal((PushAnswerOutcome.NotAligned, 1), (answer.Outcome, answer.Fence));
            if (!sequences.TryGetValue(key, out var list))
                sequences.Add(key, list = []);
            list.Add(answer.Sequence);
        }
        Assert.Equal(50, sequences.Count);
        Assert.All(sequences.Values, list => Assert.Equal([0, 1, 2], list));
        Assert.All(broker.Manager.Replicas, replica => Assert.Equal(1, replica.Partition.Log!.Marks.Fence));
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

    private static ReadOnlyMemory<byte> FirstPushes(int partitions, int pushesEach = 1)
    {
        using var bundle = new PooledBuffer();
        for (var sequence = 0; sequence < pushesEach; sequence++)
        {
            for (var i = 0; i < partitions; i++)
                BundleWriter.Add(bundle, new ReplicaKey(ReplicatedPartition.Key.TopicId, i), new Push(ReplicatedPartition.Key.TopicId, 1, 1,
                    1, sequence, 0, -1, [], 0, [], 0, 0, 0, 0));
        }
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
