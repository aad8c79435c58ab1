using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>An append in steady state allocates nothing, neither on the sender's side nor on the append thread's.</summary>
public sealed class AppendAllocationTests
{
    private const int InFlight = 5;
    // A queue that is filled and never emptied doubles at 512 and 1,024 rounds, and other tests fill that of the pool. So the least of some
    // measurements counts.
    private const int WarmUpRounds = 600;
    private const int Rounds = 400;
    private const int Measurements = 3;

    [Theory]
    [InlineData(FlushPolicy.None, 100)]
    [InlineData(FlushPolicy.None, 60_000)]
    [InlineData(FlushPolicy.Sync, 100)]
    public async Task Append_in_steady_state_allocates_nothing(FlushPolicy policy, int valueBytes)
    {
        var directory = Directory.CreateTempSubdirectory("omq-alloc-").FullName;
        try
        {
            var options = new BrokerOptions
            {
                DataDirectory = directory,
                MinFreeBytes = 0,
                FileSystem = new DiskFileSystem(),
                AppendThreads = 1
            };
            await using var store = await PartitionStore.OpenAsync(options, _ => null);
            var partition = store.GetOrCreate(new TopicPartition("t", 0), Guid.NewGuid(), TopicConfig.DefaultFor(policy));
            using var blocker = new Blocker();
            store.Ports.Threads.Schedule(blocker);
            blocker.WaitUntilRunning();
            // The append thread is busy, so this thread does its work, and its allocations are distinct from those of other tests.
            var batches = Enumerable.Range(0, InFlight).Select(_ => PartitionRig.Batch(1, new string('v', valueBytes))).ToArray();
            var pending = new ValueTask<ProduceResult>[InFlight];
            var round = new AppendRound();
            Append(partition, round, batches, pending, WarmUpRounds);
            var least = double.MaxValue;
            for (var measurement = 0; measurement < Measurements; measurement++)
            {
                var before = GC.GetAllocatedBytesForCurrentThread();
                Append(partition, round, batches, pending, Rounds);
                least = Math.Min(least, (GC.GetAllocatedBytesForCurrentThread() - before) / (double)(Rounds * InFlight));
            }
            Assert.InRange(least, 0, 0.99);
            Assert.Equal((WarmUpRounds + (Measurements * Rounds)) * InFlight, partition.HighWatermark);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static void Append(Partition partition, AppendRound round, byte[][] batches, ValueTask<ProduceResult>[] pending, int rounds)
    {
        for (var i = 0; i < rounds; i++)
        {
            for (var b = 0; b < batches.Length; b++)
                pending[b] = partition.AppendAsync(batches[b], Acks.All);
            partition.Appends.Run(round);
            for (var b = 0; b < batches.Length; b++)
            {
                while (!pending[b].IsCompleted)
                    Thread.Yield();
                if (pending[b].Result.Error != ErrorCode.None)
                    throw new InvalidOperationException("An append failed.");
            }
        }
    }

    private sealed class Blocker : IAppendWork, IDisposable
    {
        private readonly ManualResetEventSlim _running = new();
        private readonly ManualResetEventSlim _end = new();

        public void Run(AppendRound round)
        {
            _running.Set();
            _end.Wait();
        }

        public void WaitUntilRunning() => Assert.True(_running.Wait(TimeSpan.FromSeconds(30)));

        public void Dispose() => _end.Set();
    }
}
