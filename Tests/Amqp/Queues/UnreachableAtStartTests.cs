using System.Collections.Concurrent;
using System.Net;
using OrleansMq.Gateways.Amqp.Delays;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>A gateway that starts while queues that act without a client cannot be opened.</summary>
public sealed class UnreachableAtStartTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly string DueTopic = QueueTopics.NameOf("/", DelayedMessages.DueQueue);
    private static readonly ContentProperties ExpiresInTenMinutes = ContentProperties.None.With(BasicProperty.Expiration,
        [6, .. "600000"u8]);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-unreachable").FullName;
    private readonly ManualClock _clock = new();
    private readonly ConcurrentQueue<string> _opened = new();
    private readonly TaskCompletionSource _unanswered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private RunningGateway _gateway = null!;

    // The queues "a" and "b" dead-letter what expires, and a message of each has expired when the gateway starts again.
    public async Task InitializeAsync()
    {
        _clock.Ahead = DateTimeOffset.UtcNow - _clock.GetUtcNow();
        _gateway = await RunningGateway.StartAsync(_directory, configure: options => options with { TimeProvider = _clock });
        await using (var client = await OpenChannelAsync())
        {
            await client.SendAsync(1, new ConfirmSelect(false));
            Assert.IsType<ConfirmSelectOk>(await client.ReceiveMethodAsync());
            await DeclareAsync(client, "letters", default);
            foreach (var queue in new[] { "a", "b" })
            {
                await DeclareAsync(client, queue, FieldTable.Of(("x-dead-letter-exchange", FieldValue.Of("")),
                    ("x-dead-letter-routing-key", FieldValue.Of("letters"))));
                await client.PublishAsync(1, "m"u8.ToArray(), ExpiresInTenMinutes, queue);
                Assert.IsType<BasicAck>(await client.ReceiveMethodAsync());
            }
            await client.SendAsync(1, new ExchangeDeclare("late", "x-delayed-message", false, true, false, false, false,
                FieldTable.Of(("x-delayed-type", FieldValue.Of("fanout")))));
            Assert.IsType<ExchangeDeclareOk>(await client.ReceiveMethodAsync());
        }
        await StopAsync();
        _clock.Ahead += TimeSpan.FromMinutes(20);
    }

    public async Task DisposeAsync()
    {
        _unanswered.TrySetResult();
        await StopAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Queue_behind_one_without_an_answer_dead_letters_what_has_expired_and_delays_are_opened()
    {
        await StartAsync(topic => topic == "amqp.a" ? _unanswered.Task : Task.CompletedTask);
        await using var client = await OpenChannelAsync();
        await AdvanceUntilAsync(async () => await CountAsync(client, "letters") == 1 && AttemptsOf(DueTopic) > 0);
        Assert.Equal(1, AttemptsOf("amqp.a"));
        _unanswered.SetResult();
        await AdvanceUntilAsync(async () => await CountAsync(client, "letters") == 2);
    }

    [Theory]
    [InlineData("amqp.a")]
    [InlineData(null)]
    public async Task Queue_that_cannot_be_opened_is_opened_again_after_pauses(string? queueTopic)
    {
        var (unreachable, fails) = (queueTopic ?? DueTopic, true);
        await StartAsync(topic => topic == unreachable && Volatile.Read(ref fails)
            ? throw new BrokerException(ErrorCode.KafkaStorageError, "the disk is full") : Task.CompletedTask);
        await UntilAsync(() => Task.FromResult(AttemptsOf(unreachable) > 0 && AttemptsOf("amqp.b") > 0));
        // No time has gone by.
        Assert.Equal(1, AttemptsOf(unreachable));
        await AdvanceUntilAsync(() => Task.FromResult(AttemptsOf(unreachable) >= 3));
        Volatile.Write(ref fails, false);
        var failed = AttemptsOf(unreachable);
        await using var client = await OpenChannelAsync();
        await AdvanceUntilAsync(async () => AttemptsOf(unreachable) > failed && await CountAsync(client, "letters") == 2);
    }

    // How often the topic was to be created, as each opening begins.
    private int AttemptsOf(string topic) => _opened.Count(one => one == topic);

    private async Task AdvanceUntilAsync(Func<Task<bool>> condition)
    {
        var reached = UntilAsync(condition);
        await _clock.AdvanceUntilAsync(reached, TimeSpan.FromMinutes(5));
        await reached;
    }

    private async Task StartAsync(Func<string, Task> creates) => _gateway = await RunningGateway.StartAsync(_directory,
        configure: options => options with { TimeProvider = _clock }, engine: inner => new ScriptedBroker(inner)
        {
            Creates = topic =>
            {
                _opened.Enqueue(topic);
                return creates(topic);
            },
        });

    private async Task StopAsync()
    {
        var ending = _gateway.DisposeAsync().AsTask();
        await _clock.AdvanceUntilAsync(ending, TimeSpan.FromMinutes(5));
        await ending;
    }

    private async Task<WireClient> OpenChannelAsync()
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, _gateway.Port));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }

    private static async Task DeclareAsync(WireClient client, string queue, FieldTable arguments)
    {
        await client.SendAsync(1, new QueueDeclare(queue, false, true, false, false, false, arguments));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
    }

    private static async Task<uint> CountAsync(WireClient client, string queue)
    {
        await client.SendAsync(1, new QueueDeclare(queue, true, true, false, false, false, default));
        return Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync()).MessageCount;
    }

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
