using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Topics of queues that ended when no broker ran, of which one cannot be deleted at the start.</summary>
public sealed class LeftTopicsTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-left-topics").FullName;
    private readonly ManualClock _clock = new();

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Topic_that_cannot_be_deleted_keeps_no_other_and_is_deleted_later()
    {
        string[] topics = ["amqp.a", "amqp.b", "amqp.c"];
        await using (var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _directory }))
        {
            foreach (var topic in topics)
            {
                await broker.CreateTopicAsync(new NewTopic(topic, 1));
                await broker.Queues.CreateAsync(new TopicPartition(topic, 0), new NewQueue(QueueTopics.CursorOf(7)));
            }
        }
        var asked = 0;
        var gateway = await RunningGateway.StartAsync(_directory, configure: options => options with { TimeProvider = _clock },
            engine: inner =>
            {
                var broker = new ScriptedBroker(inner);
                broker.Script.Called = name =>
                {
                    if (name == nameof(IQueues.ListAsync) && Interlocked.Increment(ref asked) == 1)
                        throw new BrokerException(ErrorCode.KafkaStorageError, "the disk is full");
                };
                return broker;
            });
        try
        {
            // No time goes by.
            await UntilAsync(async () => await CountAsync(gateway) == 1);
            var deleted = UntilAsync(async () => await CountAsync(gateway) == 0);
            await _clock.AdvanceUntilAsync(deleted, TimeSpan.FromMinutes(5));
            await deleted;
        }
        finally
        {
            var ending = gateway.DisposeAsync().AsTask();
            await _clock.AdvanceUntilAsync(ending, TimeSpan.FromMinutes(5));
            await ending;
        }
    }

    private static async Task<int> CountAsync(RunningGateway gateway) => (await gateway.Broker.ListTopicsAsync())
        .Count(static topic => topic.Name.StartsWith("amqp.", StringComparison.Ordinal));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(5);
        }
    }
}
