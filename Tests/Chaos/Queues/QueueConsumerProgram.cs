using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>The order of a process that consumes a queue, as JSON.</summary>
/// <param name="Name">The consumer's name.</param>
/// <param name="Addresses">The addresses of all brokers.</param>
/// <param name="Queue">The queue.</param>
/// <param name="LockDuration">How long it holds a record; zero: as long as it lives.</param>
/// <param name="SessionTimeout">How long after its death its records go back.</param>
/// <param name="Seed">Decides how long it takes for a record.</param>
/// <param name="Orleans">The cluster, for a consumer that is an Orleans client; null: it uses HTTP.</param>
internal sealed record QueueConsumerOrder(string Name, IReadOnlyList<Uri> Addresses, string Queue, TimeSpan LockDuration,
    TimeSpan SessionTimeout, int Seed, OrleansAddress? Orleans);

/// <summary>A service that consumes a queue by the client library, over HTTP or as an Orleans client, as the records' fates say. Its output
/// has a line for each <see cref="QueueEvent"/>.</summary>
internal static class QueueConsumerProgram
{
    /// <summary>The program's first argument.</summary>
    public const string Argument = "queue";

    private const int Concurrency = 4;
    private static readonly TimeSpan Quick = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan ReleaseDelay = TimeSpan.FromMilliseconds(200);

    // One record in so many is slow.
    private const int Slowness = 50;

    public static async Task ConsumeAsync(QueueConsumerOrder order, CancellationToken stop)
    {
        if (order.Orleans is { } address)
        {
            await using var connection = await OrleansConnection.OpenAsync(address, stop);
            await ConsumeAsync(order, connection.Broker, stop);
            return;
        }
        using var client = new ClusterClient(order.Addresses, TimeSpan.FromSeconds(4));
        await ConsumeAsync(order, client.Broker, stop);
    }

    private static async Task ConsumeAsync(QueueConsumerOrder order, IBroker broker, CancellationToken stop)
    {
        var output = new Lock();
        var observed = new ObservedBroker(broker, seen =>
        {
            // Flushed with each line: what was handed out or tried is known although the process is killed.
            lock (output)
                Console.Out.WriteLine(seen.ToLine());
        });
        await using var consumer = new OrleansMqClient(observed).CreateQueueConsumer<Ignore, byte[]>(new QueueConsumerOptions
        {
            Topic = QueueLoad.Topic,
            Queue = order.Queue,
            Create = null,
            Credit = 40,
            LockDuration = order.LockDuration,
            SessionTimeout = order.SessionTimeout,
            MaxWait = TimeSpan.FromSeconds(1),
        });
        var random = new Random(order.Seed);
        await consumer.RunAsync(HandleAsync, Concurrency, stop);

        async ValueTask HandleAsync(QueueMessage<Ignore, byte[]> message, CancellationToken cancellationToken)
        {
            // An unknown value is reported by its delivery.
            var fate = RecordValue.TryRead(message.Value, out var id) ? QueueLoad.FateOf(order.Queue, id) : RecordFate.Completed;
            TimeSpan time;
            lock (random)
                time = (random.Next(Slowness) == 0 ? Slow : Quick) * random.NextDouble();
            await Task.Delay(time, cancellationToken);
            switch (fate)
            {
                case RecordFate.AlwaysFails:
                case RecordFate.FailsOnce when message.Failures == 0:
                    throw new InvalidOperationException($"{id} fails.");
                case RecordFate.ReleasedOnce when message.Deliveries == 1:
                    await message.ReleaseAsync(ReleaseDelay, cancellationToken);
                    break;
                case RecordFate.Rejected:
                    await message.DeadLetterAsync($"{id} is refused.", cancellationToken);
                    break;
                default:
                    // Completed by its return, without a wait for the answer, or with one.
                    if (id.Number % 2 == 0)
                        await message.CompleteAsync(cancellationToken);
                    break;
            }
        }
    }
}
