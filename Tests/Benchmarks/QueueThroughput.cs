using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Records of 100 bytes a second through a queue of one partition, over a broker in this process on the machine's disk: published,
/// received and completed. The time runs from the first publish until the last completion is answered.</summary>
internal static class QueueThroughput
{
    private const string Queue = "work";
    private const int PerBatch = 1_000;
    private const int BatchesInFlight = 8;
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(5);

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var rounds = arguments.Number("--rounds", 3);
        var records = arguments.Number("--records", 1_000_000) / PerBatch * PerBatch;
        var size = arguments.Number("--size", 100);
        var only = arguments.Text("--only") ?? "";
        var directory = arguments.Directory("queues");
        Console.WriteLine($"{records} records of {size} bytes a round, one partition, {Environment.ProcessorCount} processors, "
            + $"in {directory}");
        Console.WriteLine("consumers | records/s | best | CPU us a record | bytes of transitions a record");
        try
        {
            var options = new BrokerOptions { DataDirectory = Path.Combine(directory, "data"), Codecs = StandardCodecs.All };
            await using var broker = await LocalBroker.OpenAsync(options);
            (string Label, Func<TopicPartition, Completions, Task> Consume)[] ways =
            [
                ("one, completes ranges in order",
                    (partition, done) => CompleteInOrderAsync(((IBroker)broker).Queues, partition, done)),
                ("100, complete one by one in random order",
                    (partition, done) => CompleteAtRandomAsync(((IBroker)broker).Queues, partition, done, consumers: 100)),
                ("client library, one handler", (partition, done) => HandleAsync(broker, partition, done, concurrency: 1)),
                ("client library, 16 handlers at once", (partition, done) => HandleAsync(broker, partition, done, concurrency: 16)),
            ];
            foreach (var (label, consume) in ways.Where(way => way.Label.Contains(only, StringComparison.Ordinal)))
                await MeasureAsync(broker, label, rounds, records, size, consume);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static async Task MeasureAsync(LocalBroker broker, string label, int rounds, int records, int size,
        Func<TopicPartition, Completions, Task> consume)
    {
        var (rates, processor, bytes) = (new List<double>(), new List<double>(), 0.0);
        // The first round is a warm-up and not counted.
        for (var round = 0; round <= rounds; round++)
        {
            var partition = new TopicPartition($"queue-{Guid.NewGuid():N}", 0);
            await broker.CreateTopicAsync(new NewTopic(partition.Topic));
            await ((IBroker)broker).Queues.CreateAsync(partition, new NewQueue(Queue));
            using var done = new Completions(records);
            var process = Process.GetCurrentProcess();
            var cpu = process.TotalProcessorTime;
            var watch = Stopwatch.StartNew();
            var consuming = Task.Run(() => consume(partition, done));
            var published = await Task.Run(() => PublishAsync(broker, partition, records, size));
            await consuming;
            var seconds = watch.Elapsed.TotalSeconds;
            process.Refresh();
            bytes = (broker.Partitions.Single(one => one.TopicPartition == partition).SizeInBytes - published) / (double)records;
            await broker.DeleteTopicAsync(partition.Topic);
            if (round == 0)
                continue;
            rates.Add(records / seconds);
            processor.Add((process.TotalProcessorTime - cpu).TotalMicroseconds / records);
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{label} | {Statistics.Median(rates):N0} | {rates.Max():N0} | "
            + $"{Statistics.Median(processor):N2} | {bytes:N1}"));
    }

    /// <summary>Publishes records with <c>acks=all</c>. Returns their bytes in the log.</summary>
    private static async Task<long> PublishAsync(LocalBroker broker, TopicPartition partition, int records, int size)
    {
        var value = new byte[size];
        Samples.Fill(new Random(1), value);
        var sent = new Queue<Task<ProduceResult>>();
        var bytes = 0L;
        for (var written = 0; written < records; written += PerBatch)
        {
            // The memory of a batch belongs to the broker from now on.
            using var builder = new RecordBatchBuilder();
            for (var i = 0; i < PerBatch; i++)
                builder.Add(1_767_225_600_000 + written + i, [], hasKey: false, value, hasValue: true);
            var batch = builder.Build().ToArray();
            bytes += batch.Length;
            sent.Enqueue(broker.ProduceAsync(partition, batch, Acks.All).AsTask());
            if (sent.Count == BatchesInFlight)
                Check(await sent.Dequeue());
        }
        while (sent.TryDequeue(out var last))
            Check(await last);
        return bytes;
    }

    private static void Check(ProduceResult result)
    {
        if (result.Error != ErrorCode.None)
            throw new InvalidOperationException($"A batch was answered with {result.Error}: {result.Message}");
    }

    private static async Task CompleteInOrderAsync(IQueues queues, TopicPartition partition, Completions done)
    {
        var consumer = await queues.AttachAsync(partition, Queue, new QueueAttachOptions { Prefetch = 10_000 });
        var settling = new Queue<(Task<IReadOnlyList<ErrorCode>> Task, int Records)>();
        var (expected, received) = (-1L, 0);
        while (received < done.Wanted)
        {
            if (await queues.ReceiveAsync(partition, consumer, 1_000, MaxWait) is not { } delivery)
                continue;
            foreach (var record in delivery.Records)
            {
                if (record.Offset <= expected)
                    throw new InvalidOperationException($"Offset {record.Offset} came after {expected}.");
                expected = record.Offset;
            }
            received += delivery.Records.Count;
            settling.Enqueue((queues.SettleAsync(partition, consumer, [new QueueSettlement(delivery.Lock, delivery.Records[0].Offset,
                delivery.Records[^1].Offset, QueueAction.Accept)]).AsTask(), delivery.Records.Count));
            while (settling.TryPeek(out var first) && (first.Task.IsCompleted || settling.Count > 8 || received == done.Wanted))
                done.Add(await first.Task, settling.Dequeue().Records);
        }
        await queues.DetachAsync(partition, consumer);
    }

    private static Task CompleteAtRandomAsync(IQueues queues, TopicPartition partition, Completions done, int consumers) =>
        Task.WhenAll(Enumerable.Range(0, consumers).Select(number => Task.Run(async () =>
        {
            var random = new Random(number);
            var consumer = await queues.AttachAsync(partition, Queue, new QueueAttachOptions { Prefetch = 100 });
            while (!done.All.IsCancellationRequested)
            {
                QueueDelivery? delivery;
                try
                {
                    delivery = await queues.ReceiveAsync(partition, consumer, 100, MaxWait, done.All);
                }
                catch (OperationCanceledException) when (done.All.IsCancellationRequested)
                {
                    break;
                }
                if (delivery is null)
                    continue;
                var settlements = delivery.Records
                    .Select(record => new QueueSettlement(delivery.Lock, record.Offset, record.Offset, QueueAction.Accept)).ToArray();
                random.Shuffle(settlements);
                done.Add(await queues.SettleAsync(partition, consumer, settlements), settlements.Length);
            }
            await queues.DetachAsync(partition, consumer);
        })));

    private static async Task HandleAsync(LocalBroker broker, TopicPartition partition, Completions done, int concurrency)
    {
        var client = new OrleansMqClient(broker);
        await using var consumer = client.CreateQueueConsumer<Ignore, ReadOnlyMemory<byte>>(new QueueConsumerOptions
        {
            Topic = partition.Topic,
            Queue = Queue,
            Credit = 10_000,
        });
        try
        {
            // A handler that returns completes its message.
            await consumer.RunAsync((_, _) =>
            {
                done.Add([ErrorCode.None], 1);
                return ValueTask.CompletedTask;
            }, concurrency, done.All);
        }
        catch (OperationCanceledException) when (done.All.IsCancellationRequested)
        {
        }
        // Disposing waits for the last completions.
    }

    /// <summary>Counts completions, and ends the consumers with the last.</summary>
    private sealed class Completions(int wanted) : IDisposable
    {
        private readonly CancellationTokenSource _all = new();
        private int _count;

        public int Wanted => wanted;

        public CancellationToken All => _all.Token;

        public void Add(IReadOnlyList<ErrorCode> answers, int records)
        {
            foreach (var answer in answers)
            {
                if (answer != ErrorCode.None)
                    throw new InvalidOperationException($"A completion was answered with {answer}.");
            }
            var count = Interlocked.Add(ref _count, records);
            if (count > wanted)
                throw new InvalidOperationException($"{count} of {wanted} records were completed.");
            if (count == wanted)
                _all.Cancel();
        }

        public void Dispose() => _all.Dispose();
    }
}
