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

    [Fact]
    public async Task User_whose_methods_take_too_much_time_is_slowed_and_its_messages_are_stored()
    {
        await Channel.QueueDeclareAsync("slow", durable: true, exclusive: false, autoDelete: false);
        // Ten microseconds are there, and one more each second.
        await LimitAsync(QuotaKey.RequestPercentage, 0.0001);
        var count = 0;
        await UntilAsync(async () =>
        {
            await PublishAsync("slow", "x");
            count++;
            return Gateway.Broker.Quotas.SecondsThrottled("guest", QuotaKey.RequestPercentage) > 0;
        });
        // It is read from again.
        await PublishAsync("slow", "x").AsTask().WaitAsync(Patience);
        await LimitAsync(QuotaKey.RequestPercentage, null);
        await UntilAsync(async () => await Channel.MessageCountAsync("slow") == (uint)count + 1);
    }

    // A window may be used at once. What is beyond it takes a second or two.
    private ValueTask LimitAsync(QuotaKey key, double? limit = 100_000) => Gateway.Broker.Quotas.AlterAsync([new QuotaChange(
        new QuotaEntity("guest"), new Dictionary<QuotaKey, double?> { [key] = limit })]);
}
