using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Replication;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Replicas;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>Schedules in a partition with three replicas: the leader is killed again and again, and their topic's broker loses
/// answers.</summary>
public sealed class ReplicatedSchedulesTests
{
    private static readonly TopicPartition Orders = new("orders", 0);

    [Fact]
    public async Task Each_answered_schedule_is_appended_once_through_failovers_and_lost_answers()
    {
        const int PerLeader = 60;
        await using var target = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
        });
        var topicId = (await target.CreateTopicAsync(new NewTopic("orders", 1))).TopicId;
        var broker = new ForgetfulBroker(target);
        await using var schedules = await ReplicatedPartition.StartAsync(
            options: ReplicatedPartition.Patient with { LeaderLease = TimeSpan.FromMilliseconds(800) });
        schedules.Cluster.Specs[ReplicatedPartition.Key] = new ReplicaSpec(InternalTopics.Schedules,
            TopicConfig.Default with { MinInsyncReplicas = 2, CleanupCompact = true });

        var expected = new HashSet<string>();
        for (var round = 0; round < 5; round++)
        {
            var leader = 1 + round % 3;
            foreach (var id in (int[])[1, 2, 3])
                schedules.ReplicaOf(id).Partition.Ports.Broker = () => broker;
            await schedules.LeadAsync(leader);
            await schedules.InSyncAsync(3);
            var led = schedules.ReplicaOf(leader).Partition.Schedules;
            var now = DateTimeOffset.UtcNow;
            await Task.WhenAll(Enumerable.Range(0, PerLeader).Select(i =>
                CreateAsync(led, topicId, $"{round}-{i}", now.AddMilliseconds(i * 10))));
            await Task.WhenAll(Enumerable.Range(0, PerLeader).Select(i => CreateAsync(led, topicId, $"{round}-far-{i}", now.AddHours(1))));
            var cancelled = await Task.WhenAll(Enumerable.Range(0, PerLeader).Select(i =>
                RetryAsync(() => led.CancelAsync(topicId, i % 2 == 0 ? $"{round}-{i}" : $"{round}-far-{i}", default))));
            expected.UnionWith(Enumerable.Range(0, PerLeader).Where(i => i % 2 == 1 || !cancelled[i]).Select(i => $"{round}-{i}"));
            Assert.All(Enumerable.Range(0, PerLeader).Where(i => i % 2 == 1), i => Assert.True(cancelled[i]));
            var some = expected.Count - PerLeader / 4;
            await ReplicatedPartition.Until(() => ValuesAsync(target).Result.Count >= some, () => "some delivered");
            await schedules[leader].KillAsync();
            await schedules[leader].StartAsync();
        }
        foreach (var id in (int[])[1, 2, 3])
            schedules.ReplicaOf(id).Partition.Ports.Broker = () => broker;
        await schedules.LeadAsync(2);
        await ReplicatedPartition.Until(() => ValuesAsync(target).Result.Count >= expected.Count, () => "all delivered");
        var last = schedules.ReplicaOf(2).Partition.Schedules;
        var waiting = await RetryAsync(async () => await last.DescribeAsync(await last.ListAsync(null, 1_000, default), default));
        Assert.Equal(5 * PerLeader / 2, waiting.Length);
        Assert.All(waiting, schedule => Assert.Contains("-far-", schedule.Id, StringComparison.Ordinal));
        Assert.Equal(expected.Order(), (await ValuesAsync(target)).Order());
        Assert.True(broker.Forgotten > 5, $"{broker.Forgotten} answers were lost.");
    }

    [Fact]
    public async Task Bytes_of_requests_count_until_they_are_answered_also_where_their_callers_left()
    {
        // A leader without a lease would refuse the calls for that reason.
        await using var schedules = await ReplicatedPartition.StartAsync(
            options: ReplicatedPartition.Patient with { LeaderLease = TimeSpan.FromSeconds(20) });
        schedules.Cluster.Specs[ReplicatedPartition.Key] = new ReplicaSpec(InternalTopics.Schedules,
            TopicConfig.Default with { MinInsyncReplicas = 2, CleanupCompact = true });
        await schedules.LeadAsync(1);
        await schedules.InSyncAsync(3);
        // Without a broker the log is not read: requests wait.
        var partition = schedules.ReplicaOf(1).Partition;
        var large = new NewSchedule("orders") { At = DateTimeOffset.UtcNow.AddHours(1), Value = new byte[1_000_000] };
        for (var i = 0; i < 67; i++)
        {
            using var caller = new CancellationTokenSource();
            var call = partition.Schedules.CreateAsync(Guid.NewGuid(), large with { Id = $"{i}" }, caller.Token);
            await caller.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        }
        var refusal = await Assert.ThrowsAsync<BrokerException>(() =>
            partition.Schedules.CreateAsync(Guid.NewGuid(), large with { Id = "more" }, default));
        Assert.Equal(ErrorCode.LeaderNotAvailable, refusal.Code);

        await using var target = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
        });
        partition.Ports.Broker = () => target;
        var listed = Array.Empty<string>();
        await ReplicatedPartition.Until(() => (listed = partition.Schedules.ListAsync(null, 1_000, default).Result).Length == 67,
            () => $"{listed.Length} stored");
        await partition.Schedules.CreateAsync(Guid.NewGuid(), large with { Id = "more" }, default);
    }

    private static Task CreateAsync(IPartitionSchedules schedules, Guid topicId, string id, DateTimeOffset at) =>
        RetryAsync(() => schedules.CreateAsync(topicId, new NewSchedule("orders") { Id = id, At = at, Value = Encoding.UTF8.GetBytes(id) },
            default));

    private static async Task<T> RetryAsync<T>(Func<Task<T>> call)
    {
        var watch = System.Diagnostics.Stopwatch.StartNew();
        while (true)
        {
            try
            {
                return await call();
            }
            catch (BrokerException refusal) when (refusal.Code == ErrorCode.NotLeaderOrFollower
                && watch.Elapsed < ReplicatedPartition.Deadline)
            {
                await Task.Delay(5);
            }
        }
    }

    private static async Task<IReadOnlyList<string>> ValuesAsync(IBroker broker)
    {
        using var fetched = await broker.FetchAsync(new FetchRequest(Orders, 0, 1 << 24));
        return [.. TestBatches.Read(fetched.Records).Select(record => record.Value)];
    }

    // Every third append is carried out, but not answered; every fourth is neither.
    private sealed class ForgetfulBroker(IBroker inner) : ForwardingBroker(inner)
    {
        private int _appends;
        private int _forgotten;

        public int Forgotten => _forgotten;

        public override async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
            CancellationToken cancellationToken = default)
        {
            var number = Interlocked.Increment(ref _appends);
            var result = number % 4 == 0 ? default : await base.ProduceAsync(partition, batch, acks, cancellationToken);
            if (number % 4 != 0 && number % 3 != 0)
                return result;
            Interlocked.Increment(ref _forgotten);
            return ProduceResult.Failed(ErrorCode.RequestTimedOut, "The answer was lost.");
        }
    }
}
