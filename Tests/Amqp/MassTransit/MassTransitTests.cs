using System.Collections.Concurrent;
using System.Diagnostics;
using MassTransit;
using OrleansMq.Tests.Amqp.Broker;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.MassTransit;

/// <summary>MassTransit over a standalone broker: its topology of exchanges and queues, and what it builds on them.</summary>
public sealed class MassTransitTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-masstransit").FullName;
    private RunningGateway _gateway = null!;

    public async Task InitializeAsync() => _gateway = await RunningGateway.StartAsync(_directory);

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public Task Requests_get_their_responses() => RunAsync(
        static bus => bus.ReceiveEndpoint("questions", static endpoint =>
            endpoint.Handler<Question>(static context => context.RespondAsync(new Response(context.Message.Number * 2)))),
        static async bus =>
        {
            var client = bus.CreateRequestClient<Question>(new Uri("queue:questions"), RequestTimeout.After(s: 60));
            var numbers = Enumerable.Range(0, 50).ToArray();
            var responses = await Task.WhenAll(numbers.Select(number => client.GetResponse<Response>(new Question(number))));
            Assert.Equal(numbers.Select(static number => number * 2), responses.Select(static one => one.Message.Number));
        });

    [Fact]
    public Task Message_that_fails_is_retried_and_moves_to_the_error_queue()
    {
        var attempts = 0;
        var (fault, moved) = (New<int>(), New<int>());
        return RunAsync(
            bus =>
            {
                bus.ReceiveEndpoint("work", endpoint =>
                {
                    endpoint.UseMessageRetry(static retry => retry.Immediate(2));
                    endpoint.Handler<Work>(_ =>
                    {
                        Interlocked.Increment(ref attempts);
                        throw new InvalidOperationException("It fails.");
                    });
                });
                bus.ReceiveEndpoint("faults", endpoint => endpoint.Handler<Fault<Work>>(context =>
                {
                    fault.TrySetResult(context.Message.Message.Number);
                    return Task.CompletedTask;
                }));
                bus.ReceiveEndpoint("work_error", endpoint =>
                {
                    endpoint.ConfigureConsumeTopology = false;
                    endpoint.Handler<Work>(context =>
                    {
                        moved.TrySetResult(context.Message.Number);
                        return Task.CompletedTask;
                    });
                });
            },
            async bus =>
            {
                await bus.Publish(new Work(7));
                Assert.Equal(7, await fault.Task.WaitAsync(Patience));
                Assert.Equal(7, await moved.Task.WaitAsync(Patience));
                Assert.Equal(3, attempts);
            });
    }

    [Fact]
    public Task Message_that_fails_is_redelivered_later()
    {
        var clock = Stopwatch.StartNew();
        var times = new ConcurrentQueue<TimeSpan>();
        var done = New<int>();
        return RunAsync(
            bus => bus.ReceiveEndpoint("work", endpoint =>
            {
                endpoint.UseDelayedRedelivery(static redelivery => redelivery.Intervals(300, 600));
                endpoint.Handler<Work>(context =>
                {
                    times.Enqueue(clock.Elapsed);
                    if (times.Count < 3)
                        throw new InvalidOperationException("It fails.");
                    done.TrySetResult(context.Message.Number);
                    return Task.CompletedTask;
                });
            }),
            async bus =>
            {
                await bus.Publish(new Work(7));
                Assert.Equal(7, await done.Task.WaitAsync(Patience));
                var came = times.ToArray();
                Assert.True(came[1] - came[0] > TimeSpan.FromMilliseconds(250), "The first delay is too short.");
                Assert.True(came[2] - came[1] > TimeSpan.FromMilliseconds(550), "The second delay is too short.");
            });
    }

    [Fact]
    public Task Scheduled_message_comes_at_its_time_and_times_out_a_saga()
    {
        var machine = new OrderMachine();
        return RunAsync(
            bus => bus.ReceiveEndpoint("orders", endpoint =>
                endpoint.StateMachineSaga(machine, new InMemorySagaRepository<Order>())),
            async bus =>
            {
                var clock = Stopwatch.StartNew();
                var id = NewId.NextGuid();
                await bus.Publish(new Placed(id));
                Assert.Equal(id, await machine.TimedOut.WaitAsync(Patience));
                Assert.True(clock.Elapsed > TimeSpan.FromMilliseconds(450), "The timeout came too early.");
            });
    }

    [Fact]
    public Task Quorum_endpoint_receives_all_messages()
    {
        var received = new ConcurrentBag<int>();
        var done = New<int>();
        return RunAsync(
            bus => bus.ReceiveEndpoint("work", endpoint =>
            {
                endpoint.SetQuorumQueue();
                endpoint.PrefetchCount = 10;
                endpoint.Handler<Work>(context =>
                {
                    received.Add(context.Message.Number);
                    if (received.Count == 100)
                        done.TrySetResult(0);
                    return Task.CompletedTask;
                });
            }),
            async bus =>
            {
                await Task.WhenAll(Enumerable.Range(0, 100).Select(number => bus.Publish(new Work(number))));
                await done.Task.WaitAsync(Patience);
                Assert.Equal(Enumerable.Range(0, 100), received.Order());
            });
    }

    [Fact]
    public Task Endpoint_bound_to_a_topic_exchange_receives_what_its_pattern_matches()
    {
        var received = new ConcurrentQueue<int>();
        var done = New<int>();
        return RunAsync(
            bus => bus.ReceiveEndpoint("europe", endpoint =>
            {
                endpoint.ConfigureConsumeTopology = false;
                endpoint.ConcurrentMessageLimit = 1;
                endpoint.Bind("regions", static binding => (binding.ExchangeType, binding.RoutingKey) = (ExchangeType.Topic, "eu.#"));
                endpoint.Handler<Work>(context =>
                {
                    received.Enqueue(context.Message.Number);
                    if (context.Message.Number == 3)
                        done.TrySetResult(0);
                    return Task.CompletedTask;
                });
            }),
            async bus =>
            {
                var regions = await bus.GetSendEndpoint(new Uri("exchange:regions?type=topic"));
                foreach (var (key, number) in new[] { ("eu.north", 1), ("us.east", 2), ("eu.south.west", 3) })
                    await regions.Send(new Work(number), context => context.SetRoutingKey(key));
                await done.Task.WaitAsync(Patience);
                Assert.Equal([1, 3], received);
            });
    }

    private async Task RunAsync(Action<IRabbitMqBusFactoryConfigurator> configure, Func<IBusControl, Task> test)
    {
        var bus = Bus.Factory.CreateUsingRabbitMq(factory =>
        {
            factory.Host("127.0.0.1", (ushort)_gateway.Port, "/", static host =>
            {
                host.Username("guest");
                host.Password("guest");
            });
            factory.UseDelayedMessageScheduler();
            configure(factory);
        });
        using var deadline = new CancellationTokenSource(Patience);
        await bus.StartAsync(deadline.Token);
        try
        {
            await test(bus);
        }
        finally
        {
            await bus.StopAsync(Patience);
        }
    }

    private static TaskCompletionSource<T> New<T>() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
