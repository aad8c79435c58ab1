using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A real in-memory broker with a topic, and a scripted coordinator.</summary>
public abstract class ConsumerFixture : IAsyncLifetime
{
    protected const string Topic = "orders";

    private protected TestBroker Test { get; private set; } = null!;
    private protected GroupedBroker Broker { get; private set; } = null!;
    private protected ScriptedGroups Groups { get; } = new();
    private protected ManualTimeProvider Clock { get; } = new();
    private protected RecordedLog Log { get; } = new();
    protected OrleansMqClient Client { get; private set; } = null!;
    protected Guid TopicId { get; private set; }

    protected static TopicPartition P(int partition) => new(Topic, partition);

    protected TopicPartitions All(params int[] partitions) => new(TopicId, partitions);

    public async Task InitializeAsync()
    {
        Test = await TestBroker.StartAsync();
        Broker = new GroupedBroker(Test.Broker, Groups);
        Client = new OrleansMqClient(Broker, loggers: Log);
        await Client.Admin.CreateTopicAsync(Topic, partitions: 4);
        TopicId = (await Broker.GetTopicAsync(Topic)).TopicId;
        Groups.FirstAssignment = [All(0, 1, 2, 3)];
    }

    public async Task DisposeAsync() => await Test.DisposeAsync();

    private protected static ConsumerOptions Options(IRebalanceListener? listener = null) => new()
    {
        GroupId = "billing",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        RebalanceListener = listener,
        DrainTimeout = TimeSpan.FromSeconds(20),
        Reader = new ReaderOptions { RetryBackoff = TimeSpan.FromMilliseconds(1), RetryBackoffMax = TimeSpan.FromMilliseconds(10) },
    };

    private protected IConsumer<string, string> Consume(ConsumerOptions? options = null)
    {
        var consumer = Client.CreateConsumer<string, string>(options ?? Options());
        consumer.Subscribe(Topic);
        return consumer;
    }

    /// <summary>Sends values to a partition, numbered onwards from the existing records.</summary>
    protected async Task SendAsync(int partition, params string[] values)
    {
        await using var producer = Client.CreateProducer<string, string>();
        foreach (var value in values)
            await producer.SendAsync(new(Topic, $"key of {value}", value) { Partition = partition });
    }

    protected static async Task<List<string>> ReadAsync(IConsumer<string, string> consumer, int count)
    {
        var values = new List<string>();
        while (values.Count < count)
            values.Add((await consumer.ReadAsync().SoonAsync()).Value);
        return values;
    }

    private protected async Task<string> MemberAsync()
    {
        await Wait.UntilAsync(() => Groups.Members.Count > 0, "a member");
        return Groups.Members[0];
    }
}

/// <summary>Records the notifications.</summary>
internal sealed class Heard : IRebalanceListener
{
    private readonly ConcurrentQueue<string> _heard = new();

    public IReadOnlyList<string> All => [.. _heard];

    public Func<IConsumer, IReadOnlyList<TopicPartition>, Task>? OnAssigned { get; init; }
    public Func<IConsumer, IReadOnlyList<TopicPartition>, Task>? OnRevoked { get; init; }

    public ValueTask OnAssignedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) =>
        HearAsync("assigned", partitions, OnAssigned?.Invoke(consumer, partitions));

    public ValueTask OnRevokedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) =>
        HearAsync("revoked", partitions, OnRevoked?.Invoke(consumer, partitions));

    public ValueTask OnLostAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) =>
        HearAsync("lost", partitions, null);

    private async ValueTask HearAsync(string what, IReadOnlyList<TopicPartition> partitions, Task? work)
    {
        if (work is not null)
            await work.WaitAsync(Wait.Deadline);
        _heard.Enqueue($"{what} {string.Join(' ', partitions.Select(partition => partition.Partition).Order())}");
    }
}
