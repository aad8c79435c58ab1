using OrleansMq.Quotas;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>A user that sends and receives beyond its rates is slowed, and loses nothing.</summary>
public sealed class QuotaTests : ClientTest
{
    private const int Messages = 24;
    private const int MessageBytes = 50_000;

    [Fact]
    public async Task User_sends_and_receives_everything_at_its_rate()
    {
        await Channel.QueueDeclareAsync("slow", durable: true, exclusive: false, autoDelete: false);
        await LimitAsync(QuotaKey.ProducerByteRate);
        await Task.WhenAll(Enumerable.Range(0, Messages).Select(async _ =>
            await Channel.BasicPublishAsync("", "slow", mandatory: true, Persistent, new byte[MessageBytes])));
        Assert.True(Gateway.Broker.Quotas.SecondsThrottled("guest", QuotaKey.ProducerByteRate) > 0);

        await LimitAsync(QuotaKey.ConsumerByteRate);
        var received = 0;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var consumer = new AsyncEventingBasicConsumer(Channel);
        consumer.ReceivedAsync += (_, message) =>
        {
            Assert.Equal(MessageBytes, message.Body.Length);
            if (Interlocked.Increment(ref received) == Messages)
                all.SetResult();
            return Task.CompletedTask;
        };
        await Channel.BasicConsumeAsync("slow", autoAck: true, consumer);
        await all.Task.WaitAsync(Patience);
        Assert.True(Gateway.Broker.Quotas.SecondsThrottled("guest", QuotaKey.ConsumerByteRate) > 0);
    }

    // A window may be used at once. What is beyond it takes a second or two.
    private ValueTask LimitAsync(QuotaKey key) => Gateway.Broker.Quotas.AlterAsync([new QuotaChange(new QuotaEntity("guest"),
        new Dictionary<QuotaKey, double?> { [key] = 100_000 })]);
}
