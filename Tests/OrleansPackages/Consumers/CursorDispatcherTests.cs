using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>What a dispatcher says to the broker about records that were not served.</summary>
public sealed class CursorDispatcherTests : IAsyncLifetime
{
    private const string Topic = "given-back";
    private const string Queue = "grains:given-back";

    private static readonly DeliveryOptions Options = new()
    {
        MaxAttempts = 3,
        RetryDelay = TimeSpan.FromMilliseconds(1),
        MaxRetryDelay = TimeSpan.FromMilliseconds(1),
    };

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;

    public async Task InitializeAsync() => _silo = await TestSilo.StartAsync(_data.Path);

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Records_that_wait_for_a_change_of_cursors_have_no_more_deliveries_for_it()
    {
        var client = new OrleansMqClient(_silo.Inside);
        await client.Admin.CreateTopicAsync(Topic, 1);
        await _silo.Inside.Queues.CreateAsync(new TopicPartition(Topic, 0),
            new NewQueue(Queue) { Options = new QueueOptions { IsOrderedByKey = true } });
        await using var producer = client.CreateProducer<string, string>();
        foreach (var value in (string[])["one", "two", "three"])
            await producer.SendAsync(new ProducerRecord<string, string>(Topic, "key", value));
        var deliveries = new WaitingDeliveries(waits: 6, records: 3);
        await using var dispatcher = new CursorDispatcher(client, new CursorTopics(client, Options), Options, Topic, Queue, deliveries,
            priorityOf: null, NullLogger.Instance, partition: 0);
        Assert.Equal(["one", "two", "three"], await deliveries.Served.Task.WaitAsync(TimeSpan.FromMinutes(1)));
        // The first delivery of each, and the one of the moment.
        Assert.All(deliveries.Counts, static count => Assert.InRange(count, 1, 2));
    }

    [Fact]
    public async Task Broker_that_does_not_answer_holds_up_no_round_that_keeps_options()
    {
        var broker = new SilentBroker(_silo.Inside);
        var client = new OrleansMqClient(broker);
        await using var dispatcher = new CursorDispatcher(client, new CursorTopics(client, Options), Options, Topic, Queue,
            new WaitingDeliveries(waits: 0, records: 0), priorityOf: null, NullLogger.Instance, partition: 0);
        for (var round = 0; round < 3; round++)
            dispatcher.KeepOptions(new Dictionary<string, Guid> { [Topic] = Guid.NewGuid() });
        await broker.Asked.Task.WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Equal(1, broker.Questions);
    }

    // Never describes a topic.
    private sealed class SilentBroker(IBroker inner) : ForwardingBroker(inner)
    {
        private int _questions;

        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public int Questions => Volatile.Read(ref _questions);

        public override async ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            Interlocked.Increment(ref _questions);
            Asked.TrySetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            throw new InvalidOperationException("It was cancelled.");
        }
    }

    // Serves records after a number of calls.
    private sealed class WaitingDeliveries(int waits, int records) : IDeliveries
    {
        private readonly List<string> _served = [];
        private int _calls;

        public string? CauseWithoutKey => null;
        public long MaxRun => 1 << 20;
        public ConcurrentQueue<int> Counts { get; } = [];
        public TaskCompletionSource<IReadOnlyList<string>> Served { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        // One call at a time: the records have one key.
        public Task<RunAnswer> DeliverAsync(RecordRun run, SemaphoreSlim places, CancellationToken cancellationToken)
        {
            foreach (var message in run.Messages)
                Counts.Enqueue(message.Deliveries);
            if (_calls++ < waits)
                return Task.FromResult(new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Waits)]));
            _served.AddRange(run.Messages.Select(static message => Encoding.UTF8.GetString(message.Value!)));
            if (_served.Count == records)
                Served.TrySetResult(_served);
            return Task.FromResult(new RunAnswer(run.Messages.Count, []));
        }
    }
}
