using OrleansMq.Client;

namespace OrleansMq.Tests.Silo.Client;

/// <summary>The client's consumer of queues over HTTP.</summary>
public sealed class HttpQueueConsumerTests(RunningBroker running) : IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address));

    public void Dispose() => _broker.Dispose();

    [Fact]
    public async Task Messages_of_all_partitions_are_completed_abandoned_and_rejected()
    {
        var topic = await running.CreateTopicAsync(partitions: 2);
        await running.ProduceAllAsync(topic, string.Join('\n', "abcd".Select((value, index) =>
            $$"""{"headers":{"name":"{{value}}"},"value":"{{value}}","partition":{{index % 2}} }""")));
        await using var consumer = new OrleansMqClient(_broker).CreateQueueConsumer<string, string>(new QueueConsumerOptions
        {
            Topic = topic,
            Queue = "mails",
            LockDuration = TimeSpan.FromMinutes(1),
        });
        var values = new List<string>();
        for (var count = 0; count < 5; count++)
        {
            var message = await consumer.ReceiveAsync().AsTask().WaitAsync(RunningBroker.Patience);
            values.Add(message.Value);
            Assert.Equal(message.Value, System.Text.Encoding.UTF8.GetString(message.Headers.Single().Value!.Value.Span));
            await (message switch
            {
                { Value: "a", Failures: 0 } => message.AbandonAsync(TimeSpan.FromMilliseconds(1)),
                { Value: "b" } => message.RejectAsync(),
                _ => message.CompleteAsync(),
            });
        }
        Assert.Equal("aabcd", string.Concat(values.Order()));
        var queues = await _broker.ListQueuesAsync(topic);
        Assert.Equal((3L, 1L, 2), (queues.Sum(static queue => queue.Accepted), queues.Sum(static queue => queue.Rejected),
            queues.Sum(static queue => queue.Consumers)));
    }
}
