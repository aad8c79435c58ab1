using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Tests.Amqp.Queues;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>Conditions of a deletion, of a queue that the broker has not opened since it started.</summary>
public sealed class DeleteQueueTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-delete-queue").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Queue_with_messages_of_whose_topic_the_broker_has_not_heard_is_not_deleted_if_empty()
    {
        await using (var before = await ManagedServer.StartAsync(_directory))
        {
            await before.DoAsync(201, "PUT", "queues/%2F/q", "{}");
            Assert.Equal(PublishOutcome.Accepted, await (await before.OpenAsync("/", "q")).Queue.PublishAsync(Message()));
        }
        await using var server = await ManagedServer.StartAsync(_directory, engine: static inner =>
        {
            var isKnown = false;
            var broker = new ScriptedBroker(inner)
            {
                // Its opening finds that the topic is there.
                Creates = topic =>
                {
                    Volatile.Write(ref isKnown, Volatile.Read(ref isKnown) || topic == "amqp.q");
                    return Task.CompletedTask;
                },
            };
            broker.Script.Called = method =>
            {
                if (method == nameof(IQueues.DescribeAsync) && !Volatile.Read(ref isKnown))
                    throw new BrokerException(ErrorCode.UnknownTopicOrPartition, "The topic is not known yet.");
            };
            return broker;
        });
        Assert.Contains("queue 'q' in vhost '/' not empty", await server.DoAsync(400, "DELETE", "queues/%2F/q?if-empty=true"),
            StringComparison.Ordinal);
        Assert.Equal(1, (await server.GetAsync("queues/%2F/q")).GetProperty("messages_ready").GetInt64());
        await server.DoAsync(204, "DELETE", "queues/%2F/q?if-unused=true");
    }

    [Fact]
    public async Task Queue_that_is_not_of_classic_type_is_not_deleted_under_a_condition()
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        await server.DoAsync(201, "PUT", "queues/%2F/q", """{"arguments":{"x-queue-type":"quorum"}}""");
        foreach (var condition in new[] { "if-empty", "if-unused" })
            Assert.Contains($"{condition} flag set are not supported by quorum queues",
                await server.DoAsync(400, "DELETE", $"queues/%2F/q?{condition}=true"), StringComparison.Ordinal);
        await server.DoAsync(204, "DELETE", "queues/%2F/q");
    }

    private static AmqpMessage Message() => new("", "q", ContentProperties.None.With(BasicProperty.DeliveryMode, [2]), "m"u8.ToArray(),
        DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
}
