using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>A queue's topic follows its declaration.</summary>
public sealed class DeclaredQueueTests : SlowLeaderTests
{
    [Fact]
    public async Task Declaration_is_answered_before_the_topic_is_created_and_a_message_is_confirmed_after_it()
    {
        var created = new TaskCompletionSource();
        Broker.Creates = _ => created.Task;
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client, "q");
        await client.SendAsync(1, new ConfirmSelect(false));
        Assert.IsType<ConfirmSelectOk>(await client.ReceiveMethodAsync());
        await client.PublishAsync(1, "m"u8.ToArray(), queue: "q");
        Assert.DoesNotContain("amqp.q", await TopicsAsync());
        created.SetResult();
        Assert.IsType<BasicAck>(await client.ReceiveMethodAsync());
        Assert.Equal(1u, await DeclareAsync(client, "q"));
    }

    [Fact]
    public async Task Queue_that_is_deleted_while_its_topic_waits_leaves_none()
    {
        var created = new TaskCompletionSource();
        Broker.Creates = _ => created.Task;
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client, "first");
        await DeclareAsync(client, "gone");
        await DeclareAsync(client, "last");
        await client.SendAsync(1, new QueueDelete("gone", false, false, true));
        // Another declaration waits for the topic.
        var again = DeclareAsync(client, "last");
        created.SetResult();
        await again;
        await DeclareAsync(client, "first");
        Assert.Equal(["amqp.first", "amqp.last"], (await TopicsAsync()).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Topic_whose_creation_fails_is_created_by_the_queues_first_use()
    {
        var (failed, next, calls) = (new TaskCompletionSource(), new TaskCompletionSource(), 0);
        Broker.Creates = async topic =>
        {
            if (topic == "amqp.next")
                next.TrySetResult();
            if (topic != "amqp.q" || Interlocked.Increment(ref calls) > 1)
                return;
            await failed.Task;
            throw new BrokerException(ErrorCode.KafkaStorageError, "the disk is full");
        };
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client, "q");
        await DeclareAsync(client, "next");
        failed.SetResult();
        // The next one has its turn.
        await next.Task.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(0u, await DeclareAsync(client, "q"));
        Assert.Contains("amqp.q", await TopicsAsync());
        Assert.Equal(2, calls);
    }

    private async Task<IEnumerable<string>> TopicsAsync() =>
        (await Broker.ListTopicsAsync()).Select(static topic => topic.Name).Where(static name => name.StartsWith("amqp.",
            StringComparison.Ordinal));

    private static async Task<uint> DeclareAsync(WireClient client, string queue)
    {
        await client.SendAsync(1, new QueueDeclare(queue, false, true, false, false, false, default));
        return Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync()).MessageCount;
    }
}
