using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>A partition's grain is deactivated repeatedly; what it acknowledged stays.</summary>
public sealed class DeactivationTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private static readonly TopicPartition Orders = new("orders", 0);

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private IPartitionGrain _grain = null!;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path);
        var topic = await _silo.Inside.CreateTopicAsync(new NewTopic("orders", 1));
        _grain = _silo.Client.GetGrain<IPartitionGrain>(GrainKeys.Partition(topic.TopicId, 0));
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Grain_deactivation_loses_and_duplicates_no_acknowledged_record(bool inside)
    {
        const int senders = 4, deactivations = 5, batchesBetween = 20;
        var broker = inside ? _silo.Inside : _silo.Outside;
        var acknowledged = new System.Collections.Concurrent.ConcurrentDictionary<long, string>();
        using var stop = new CancellationTokenSource(Deadline);
        var sending = Enumerable.Range(0, senders).Select(sender => Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var value = $"{sender}-{i}";
                var result = await broker.ProduceAsync(Orders, TestBatches.Of(value), Acks.All);
                Assert.True(result.Error == ErrorCode.None, $"{result.Error}: {result.Message}");
                Assert.True(acknowledged.TryAdd(result.BaseOffset, value));
            }
        })).ToArray();
        for (var i = 1; i <= deactivations; i++)
        {
            await UntilAsync(() => acknowledged.Count >= i * batchesBetween || sending.Any(task => task.IsFaulted));
            await _silo.DeactivateAsync(_grain);
        }
        await stop.CancelAsync();
        await Task.WhenAll(sending);

        var read = await ReadAllAsync(broker);
        Assert.Equal(acknowledged.OrderBy(pair => pair.Key).Select(pair => (pair.Key, pair.Value)), read);
    }

    [Fact]
    public async Task Reads_continue_during_a_long_poll()
    {
        using var giveUp = new CancellationTokenSource();
        var poll = _silo.Outside.FetchAsync(new FetchRequest(Orders, 0, MaxWait: Deadline), giveUp.Token).AsTask();
        using (var empty = await _silo.Outside.FetchAsync(new FetchRequest(Orders, 0)))
            Assert.Equal((ErrorCode.None, 0), (empty.Error, empty.Records.Length));
        Assert.False(poll.IsCompleted);
        Assert.Equal(0, (await _silo.Outside.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All)).BaseOffset);
        using var result = await poll.WaitAsync(Deadline);
        Assert.Equal([(0L, "a")], TestBatches.Read(result.Records));
    }

    [Fact]
    public async Task Long_poll_does_not_delay_silo_shutdown()
    {
        var poll = _grain.ReadAsync(new PartitionRead(0) { MaxWait = TimeSpan.FromHours(1) });
        // The poll has arrived once this later call of the same client is answered.
        await _grain.FindOffsetAsync(OffsetSpec.Latest);
        await _silo.DisposeAsync().AsTask().WaitAsync(Deadline);
        // It ends with the grain's answer, or because its client stopped first.
        Assert.Same(poll, await Task.WhenAny(poll, Task.Delay(Deadline)));
        Assert.False(poll is { IsCompletedSuccessfully: true, Result.Error: ErrorCode.None });
    }

    [Fact]
    public async Task Key_of_an_unknown_topic_is_answered_and_creates_no_state()
    {
        var made = _silo.Client.GetGrain<IPartitionGrain>(GrainKeys.Partition(Guid.NewGuid(), 0));
        Assert.Equal(ErrorCode.UnknownTopicId, (await made.AppendAsync(TestBatches.Of("a"), Acks.All)).Error);
        using var read = await made.ReadAsync(new PartitionRead(0));
        Assert.Equal(ErrorCode.UnknownTopicId, read.Error);
        Assert.Equal(ErrorCode.UnknownTopicId, (await made.FindOffsetAsync(OffsetSpec.Latest)).Error);
        Assert.Equal(ErrorCode.UnknownTopicId, (await Assert.ThrowsAsync<BrokerException>(() => made.DescribeAsync())).Code);
        var nonsense = _silo.Client.GetGrain<IPartitionGrain>("orders-0");
        Assert.Equal(ErrorCode.UnknownTopicId, (await nonsense.FindOffsetAsync(OffsetSpec.Latest)).Error);
    }

    [Fact]
    public async Task Bytes_of_the_caller_are_unchanged()
    {
        var batch = TestBatches.Of("a");
        var before = batch.ToArray();
        await _grain.AppendAsync(batch, Acks.All);
        Assert.Equal(1, (await _grain.AppendAsync(batch, Acks.All)).BaseOffset);
        Assert.Equal(before, batch);
    }

    [Fact]
    public async Task Batches_of_one_call_are_appended_or_refused_individually()
    {
        var appends = _silo.Client.GetGrain<IPartitionAppendGrain>(_grain.GetPrimaryKeyString());
        var damaged = TestBatches.Of("b");
        damaged[^1] ^= 1;
        // More than one write takes.
        byte[][] batches = [TestBatches.Of("a"), damaged, .. Enumerable.Range(0, 100).Select(number => TestBatches.Of($"{number}")), [],
            TestBatches.Of("c", "d"), TestBatches.Of("e")];
        var lent = Array.ConvertAll(batches, static batch => BatchInCall.Lend(batch));
        var results = await appends.AppendManyAsync(lent, Acks.All);
        Assert.Equal(batches.Length, results.Length);
        Assert.Equal([1, 102], results.Index().Where(result => result.Item.Error != ErrorCode.None).Select(result => result.Index));
        Assert.Equal([.. Enumerable.Range(0, 102), 103], results.Where(result => result.Error == ErrorCode.None)
            .Select(result => (int)result.BaseOffset));
        Assert.Equal(["a", .. Enumerable.Range(0, 100).Select(number => $"{number}"), "c", "d", "e"],
            (await ReadAllAsync(_silo.Outside)).Select(record => record.Item2));
    }

    [Fact]
    public async Task Concurrent_batches_of_one_client_keep_their_order()
    {
        const int count = 1_000;
        var appends = Enumerable.Range(0, count)
            .Select(number => _silo.Outside.ProduceAsync(Orders, TestBatches.Of($"{number}"), Acks.All).AsTask()).ToArray();
        var results = await Task.WhenAll(appends).WaitAsync(Deadline);
        Assert.All(results, result => Assert.Equal(ErrorCode.None, result.Error));
        var read = (await ReadAllAsync(_silo.Outside)).ToDictionary(record => record.Item1, record => record.Item2);
        Assert.Equal(count, read.Count);
        Assert.All(results.Index(), result => Assert.Equal($"{result.Index}", read[result.Item.BaseOffset]));
    }

    private static async Task<List<(long, string)>> ReadAllAsync(IBroker broker)
    {
        var read = new List<(long Offset, string Value)>();
        while (true)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(Orders, read.Count));
            Assert.True(fetched.Error == ErrorCode.None, $"{fetched.Error}: {fetched.Message}");
            if (fetched.Records.IsEmpty)
                return read;
            read.AddRange(TestBatches.Read(fetched.Records));
        }
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        while (!condition())
        {
            deadline.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
