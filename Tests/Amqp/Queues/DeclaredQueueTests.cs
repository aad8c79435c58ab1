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

    [Fact]
    public async Task Topic_whose_creation_fails_is_created_without_a_use()
    {
        var calls = 0;
        Broker.Creates = topic => topic != "amqp.q" || Interlocked.Increment(ref calls) > 4 ? Task.CompletedTask : throw Full();
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client, "q");
        await AdvanceUntilAsync(async () => (await TopicsAsync()).Contains("amqp.q"));
        Assert.Equal(5, Volatile.Read(ref calls));
    }

    [Fact]
    public async Task Queue_that_is_tried_again_does_not_wait_for_one_whose_creation_has_no_answer()
    {
        var (unanswered, calls) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), 0);
        Broker.Creates = topic =>
        {
            if (topic == "amqp.first" && Interlocked.Increment(ref calls) > 1)
                return unanswered.Task;
            // The second one is opened after the first one waits for its answer.
            return topic == "amqp.second" && Volatile.Read(ref calls) > 1 ? Task.CompletedTask : throw Full();
        };
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client, "first");
        await DeclareAsync(client, "second");
        await AdvanceUntilAsync(async () => (await TopicsAsync()).Contains("amqp.second"));
        Assert.Equal(["amqp.second"], await TopicsAsync());
        Assert.Equal(2, Volatile.Read(ref calls));
        unanswered.SetResult();
        await AdvanceUntilAsync(async () => (await TopicsAsync()).Contains("amqp.first"));
        Assert.Equal(2, Volatile.Read(ref calls));
    }

    [Fact]
    public async Task Creation_that_fails_is_not_tried_again_after_the_queue_is_deleted()
    {
        var (gone, other) = (0, 0);
        Broker.Creates = topic =>
        {
            if (topic == "amqp.gone")
                Interlocked.Increment(ref gone);
            else
                Interlocked.Increment(ref other);
            throw Full();
        };
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client, "gone");
        await AdvanceUntilAsync(() => Task.FromResult(Volatile.Read(ref gone) >= 2));
        Assert.Equal(0u, await DeleteAsync(client, "gone"));
        var before = Volatile.Read(ref gone);
        await DeclareAsync(client, "other");
        // The next pause of the first one is over by then.
        await AdvanceUntilAsync(() => Task.FromResult(Volatile.Read(ref other) >= 7));
        Assert.Equal(before, Volatile.Read(ref gone));
    }

    [Fact]
    public async Task Queue_that_is_not_open_is_deleted_without_being_opened()
    {
        var (failed, calls) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), 0);
        Broker.Creates = _ =>
        {
            Interlocked.Increment(ref calls);
            failed.TrySetResult();
            throw Full();
        };
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client, "q");
        await failed.Task.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(0u, await DeleteAsync(client, "q"));
        Assert.Equal(1, Volatile.Read(ref calls));
        Assert.Empty(await TopicsAsync());
    }

    private static BrokerException Full() => new(ErrorCode.KafkaStorageError, "the disk is full");

    private async Task AdvanceUntilAsync(Func<Task<bool>> condition)
    {
        var reached = Task.Run(async () =>
        {
            while (!await condition())
                await Task.Delay(5);
        });
        await Clock.AdvanceUntilAsync(reached, TimeSpan.FromMinutes(5));
        await reached;
    }

    private static async Task<uint> DeleteAsync(WireClient client, string queue)
    {
        await client.SendAsync(1, new QueueDelete(queue, false, false, false));
        return Assert.IsType<QueueDeleteOk>(await client.ReceiveMethodAsync()).MessageCount;
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
