using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Outboxes;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>The base of tests of outboxes of grains on three silos, over a storage whose writes a test makes fail.</summary>
public abstract class OutboxClusterTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private protected TestStorage Storage { get; } = new();

    /// <summary>What the outbox of a grain does before a send, by the grain's key.</summary>
    private protected ConcurrentDictionary<string, Func<Task>> BeforeSend { get; } = [];

    /// <summary>What the outbox of a grain does before it stores a wake-up, by the grain's key.</summary>
    private protected ConcurrentDictionary<string, Func<Task>> BeforeWakeUp { get; } = [];

    private protected override void ConfigureSilo(ISiloBuilder silo)
    {
        Storage.AddTo(silo);
        silo.AddOrleansMqOutbox(options => options with
        {
            WakeUpDelay = TimeSpan.FromSeconds(1),
            CleanUpDelay = TimeSpan.Zero,
            DeactivationTimeout = TimeSpan.FromSeconds(1),
            MaxRetryDelay = TimeSpan.FromMilliseconds(200),
            BeforeWakeUp = grain => BeforeWakeUp.TryGetValue(grain.Key.ToString()!, out var hook) ? hook() : Task.CompletedTask,
            BeforeSend = (grain, _) => BeforeSend.TryGetValue(grain.Key.ToString()!, out var hook) ? hook() : Task.CompletedTask,
        });
    }

    private protected override Task BeforeStopAsync()
    {
        BeforeSend.Clear();
        return Task.CompletedTask;
    }

    private protected ILedgerGrain Ledger(string key, int from = 2) => Cluster.Get<IGrainFactory>(from).GetGrain<ILedgerGrain>(key);

    private protected async Task<int> BrokerOfAsync(ILedgerGrain grain)
    {
        var name = await grain.SiloAsync();
        return Cluster.Running.Single(broker => Cluster.Get<ILocalSiloDetails>(broker).Name == name);
    }

    private protected async Task CreateAsync(string topic, int partitions, params (string Name, string Value)[] configs)
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, partitions, 3)
        {
            Configs = configs.ToDictionary(static config => config.Name, static config => config.Value),
        });
        await Cluster.UntilInSyncAsync(topic);
    }

    private protected async Task UntilDeliveredAsync(string topic, IEnumerable<int> numbers)
    {
        var expected = numbers.ToArray();
        await Wait.UntilAsync(async () => (await ReadAsync(topic)).Length >= expected.Length, $"messages of {topic} are delivered",
            async () => string.Join(' ', await ReadAsync(topic)));
        Assert.Equal(expected, await ReadAsync(topic));
    }

    // Those of a partition in order.
    private protected async Task<int[]> ReadAsync(string topic, int? broker = null) =>
        [.. (await RecordsAsync(topic, broker)).Select(static record => int.Parse(record.Value!, CultureInfo.InvariantCulture))];

    // While a leader fails over, a read is repeated.
    private protected async Task<List<ConsumeResult<string, string>>> RecordsAsync(string topic, int? broker = null)
    {
        var records = new List<ConsumeResult<string, string>>();
        await Wait.UntilAsync(async () =>
        {
            try
            {
                records = await ReadRecordsAsync(topic, broker);
                return true;
            }
            catch (OrleansMqException again) when (again.Action == ErrorAction.Retry)
            {
                return false;
            }
        }, $"{topic} is read");
        return records;
    }

    private async Task<List<ConsumeResult<string, string>>> ReadRecordsAsync(string topic, int? broker)
    {
        var client = new OrleansMqClient(Cluster.Broker(broker ?? Cluster.Running.First()));
        var description = await client.Broker.DescribeTopicAsync(topic);
        var records = new List<ConsumeResult<string, string>>();
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        foreach (var partition in description.Partitions.Where(static partition => partition.HighWatermark > 0))
        {
            var target = new TopicPartition(topic, partition.Partition);
            await using var reader = client.CreatePartitionReader<string, string>();
            reader.Assign(target, ReadFrom.Earliest);
            while (true)
            {
                var record = await reader.ReadAsync(deadline.Token);
                records.Add(record);
                if (record.Offset >= partition.HighWatermark - 1)
                    break;
            }
        }
        return records;
    }

    /// <summary>Waits until no grain is to be woken. A call to a silo that died may take its whole timeout before.</summary>
    private protected async Task UntilWakeUpsAreSettledAsync()
    {
        var queues = new List<QueueDescription>();
        await Wait.UntilAsync(async () =>
        {
            var broker = Cluster.Broker(Cluster.Running.First());
            queues.Clear();
            foreach (var partition in Enumerable.Range(0, (await broker.GetTopicAsync(OutboxWakeUps.Topic)).Partitions))
            {
                var found = await broker.Queues.ListAsync(new TopicPartition(OutboxWakeUps.Topic, partition));
                if (found.Count == 0)
                    return false;
                queues.AddRange(found);
            }
            return queues.All(static queue => queue.Unsettled == 0);
        }, "every wake-up is settled", () => Task.FromResult(string.Join('\n', queues.Select(static queue =>
            $"unsettled {queue.Unsettled}, held {queue.Held}, deferred {queue.Deferred}, consumers {queue.Consumers}"))),
            TimeSpan.FromMinutes(2));
    }
}
