using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A reader that waits for several partitions.</summary>
public sealed class FetchWaitTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private LocalBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });
        await _broker.CreateTopicAsync(new NewTopic("t", 3));
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Wait_wakes_for_records_of_any_of_its_partitions()
    {
        using var wait = Arm(0, 1);
        var waiting = wait.WaitAsync(1);
        Assert.False(waiting.IsCompleted);
        await ProduceAsync(2);
        Assert.False(waiting.IsCompleted);
        await ProduceAsync(1);
        await waiting.WaitAsync(Patience);
        Assert.True(wait.IsOver);
    }

    [Fact]
    public async Task Wait_counts_bytes_of_all_its_partitions_together()
    {
        using var wait = Arm(0, 1);
        var waiting = wait.WaitAsync(3 * Size);
        await ProduceAsync(0);
        await ProduceAsync(1);
        Assert.False(waiting.IsCompleted);
        await ProduceAsync(0);
        await waiting.WaitAsync(Patience);
    }

    [Fact]
    public async Task Records_appended_before_the_wait_are_not_missed()
    {
        using var wait = Arm(0, 1);
        await ProduceAsync(0);
        await ProduceAsync(1);
        await wait.WaitAsync(2 * Size).WaitAsync(Patience);
    }

    [Fact]
    public async Task Wait_wakes_at_its_deadline_and_when_a_topic_is_deleted()
    {
        using var one = Arm(0);
        one.Wake();
        await one.WaitAsync(1).WaitAsync(Patience);
        using var other = Arm(0, 1);
        var waiting = other.WaitAsync(1);
        await _broker.DeleteTopicAsync("t");
        await waiting.WaitAsync(Patience);
    }

    [Fact]
    public async Task Concurrent_waits_miss_no_records()
    {
        const int count = 300;
        var seen = Enumerable.Range(0, 4).Select(_ => Task.Run(() => FollowAsync(count))).ToArray();
        for (var number = 0; number < count; number++)
            await ProduceAsync(number % 2);
        Assert.All(await Task.WhenAll(seen).WaitAsync(Patience), number => Assert.Equal(count, number));
    }

    // A reader like a gateway: arms the wait, checks, waits.
    private async Task<long> FollowAsync(int count)
    {
        while (true)
        {
            using var wait = Arm(0, 1);
            var there = Find(0).HighWatermark + Find(1).HighWatermark;
            if (there >= count)
                return there;
            await wait.WaitAsync(1);
        }
    }

    private FetchWait Arm(params int[] partitions)
    {
        var wait = new FetchWait();
        foreach (var number in partitions)
            wait.Add(Find(number));
        return wait;
    }

    private Partition Find(int number)
    {
        Assert.True(_broker.TryGet(new TopicPartition("t", number), out var partition));
        return partition!;
    }

    private static int Size { get; } = TestBatches.Of("x").Length;

    private async Task ProduceAsync(int number) =>
        Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(new TopicPartition("t", number), TestBatches.Of("x"), Acks.All)).Error);
}
