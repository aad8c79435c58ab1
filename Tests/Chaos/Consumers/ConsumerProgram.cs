using System.Runtime.InteropServices;
using System.Text.Json;
using OrleansMq.Client;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Queues;
using OrleansMq.Tests.Chaos.Subscriptions;
using OrleansMq.Tests.Chaos.Transactions;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>The only argument of a consumer process, as JSON.</summary>
/// <param name="Name">The consumer's name.</param>
/// <param name="Addresses">The addresses of all brokers.</param>
/// <param name="Database">The service's database.</param>
/// <param name="Load">The group to join, and the load.</param>
internal sealed record ConsumerOrder(string Name, IReadOnlyList<Uri> Addresses, string Database, ConsumerGroupLoad Load);

/// <summary>A service with a consumer of the client library, of a group or a queue, that processes records until it is killed. SIGTERM
/// stops it cleanly, and so does the end of its standard input, which means that its parent is gone. Exits 0 after a stop and 1 after any
/// other failure.</summary>
internal static class ConsumerProgram
{
    public static async Task<int> Main(string[] arguments)
    {
        switch (arguments)
        {
            case [var json] when JsonSerializer.Deserialize<ConsumerOrder>(json) is { } order:
                return await RunAsync(order.Name, stop => ConsumeAsync(order, stop));
            case [QueueConsumerProgram.Argument, var json] when JsonSerializer.Deserialize<QueueConsumerOrder>(json) is { } order:
                return await RunAsync(order.Name, stop => QueueConsumerProgram.ConsumeAsync(order, stop));
            case [TransactionProgram.Argument, var json] when JsonSerializer.Deserialize<TransactionOrder>(json) is { } order:
                return await RunAsync(order.Name, stop => TransactionProgram.RunAsync(order, stop));
            case [SubscriptionProgram.Argument, var json] when JsonSerializer.Deserialize<SubscriptionOrder>(json) is { } order:
                return await RunAsync($"silo {order.BrokerId}", stop => SubscriptionProgram.RunAsync(order, stop));
            default:
                await Console.Error.WriteLineAsync("A consumer for the tests: its argument is a ConsumerOrder as JSON, or "
                    + $"'{QueueConsumerProgram.Argument}' and a QueueConsumerOrder, or "
                    + $"'{TransactionProgram.Argument}' and a TransactionOrder, or "
                    + $"'{SubscriptionProgram.Argument}' and a SubscriptionOrder.");
                return 2;
        }
    }

    private static async Task<int> RunAsync(string name, Func<CancellationToken, Task> consume)
    {
        // Never disposed: a signal may arrive, or the input end, while this method returns.
        var stop = new CancellationTokenSource();
        using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            stop.Cancel();
        });
        _ = Task.Run(async () =>
        {
            await Console.In.ReadToEndAsync();
            await stop.CancelAsync();
        });
        try
        {
            await consume(stop.Token);
            return 0;
        }
        catch (Exception stopped) when (stop.IsCancellationRequested
            && stopped is OperationCanceledException or OrleansLifecycleCanceledException)
        {
            // Stopped before it was connected.
            return 0;
        }
        catch (Exception failure)
        {
            await Console.Error.WriteLineAsync($"{name} failed: {failure}");
            return 1;
        }
    }

    private static async Task ConsumeAsync(ConsumerOrder order, CancellationToken stop)
    {
        await using var processing = InboxProcessing.Open(order.Database, order.Load.Group);
        using var client = new ClusterClient(order.Addresses, TimeSpan.FromSeconds(4));
        await using var consumer = new OrleansMqClient(client.Broker).CreateConsumer<Ignore, byte[]>(new ConsumerOptions
        {
            GroupId = order.Load.Group,
            Protocol = order.Load.Protocol,
            AutoOffsetReset = AutoOffsetReset.Earliest,
            ClientId = order.Name,
            SessionTimeout = order.Load.SessionTimeout,
            HeartbeatInterval = TimeSpan.FromSeconds(1),
            AutoCommitInterval = TimeSpan.FromMilliseconds(500),
            DrainTimeout = TimeSpan.FromSeconds(5),
            RebalanceTimeout = TimeSpan.FromSeconds(20),
            MetadataMaxAge = TimeSpan.FromSeconds(2),
        });
        consumer.Subscribe(order.Load.Topic);
        try
        {
            while (true)
                await processing.ProcessAsync(await consumer.ReadAsync(stop), stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped: processed records are committed, and the member leaves the group.
        }
    }
}
