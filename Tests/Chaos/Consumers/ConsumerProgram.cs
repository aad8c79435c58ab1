using System.Runtime.InteropServices;
using System.Text.Json;
using OrleansMq.Client;
using OrleansMq.Tests.Chaos.Load;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>What a consumer that is a process of its own is told, as JSON, as its only argument.</summary>
/// <param name="Name">How it calls itself.</param>
/// <param name="Addresses">Of all brokers.</param>
/// <param name="Database">The service's database.</param>
/// <param name="Load">Whose group it is in, and how.</param>
internal sealed record ConsumerOrder(string Name, IReadOnlyList<Uri> Addresses, string Database, ConsumerGroupLoad Load);

/// <summary>
/// A service with a consumer of the client library: processes what it is given until it is killed; SIGTERM stops it in good order, and so
/// does the end of its standard input, for whoever started it is gone then. 0 when it was stopped, 1 when it failed of anything else.
/// </summary>
internal static class ConsumerProgram
{
    public static async Task<int> Main(string[] arguments)
    {
        if (arguments is not [var json] || JsonSerializer.Deserialize<ConsumerOrder>(json) is not { } order)
        {
            await Console.Error.WriteLineAsync("A consumer for the tests: its only argument is a ConsumerOrder as JSON.");
            return 2;
        }
        using var stop = new CancellationTokenSource();
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
            await ConsumeAsync(order, stop.Token);
            return 0;
        }
        catch (Exception failure)
        {
            await Console.Error.WriteLineAsync($"{order.Name} failed: {failure}");
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
            // Stopped: what is done is committed, and the group hears of it.
        }
    }
}
