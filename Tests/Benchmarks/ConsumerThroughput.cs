using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>The cost of each layer of a consumer: the same records read as batches from the broker, iterated, through a partition reader,
/// through a consumer in a group and through a handler; and the time from a subscription to the first record. Broker and client share the
/// process, so its processor time is that of both.</summary>
internal static class ConsumerThroughput
{
    private const string Topic = "throughput";

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var rounds = arguments.Number("--rounds", 3);
        var records = arguments.Number("--records", 2_000_000);
        var size = arguments.Number("--size", 100);
        var partitions = arguments.Number("--partitions", 4);
        var joins = arguments.Number("--joins", 30);
        var directory = arguments.Directory("consumer-throughput");
        Console.WriteLine($"{records} records of {size} bytes, {partitions} partitions, {Environment.ProcessorCount} processors, in "
            + $"{directory}");
        try
        {
            await using var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = Path.Combine(directory, "data"),
                Codecs = StandardCodecs.All });
            await broker.CreateTopicAsync(new NewTopic(Topic, partitions));
            var client = new OrleansMqClient(broker);
            await FillAsync(client, records, size);
            var reads = new (string Name, Func<int, Task> Read)[]
            {
                ("batches, unread", _ => ReadRawAsync(broker, partitions, records, steps: false)),
                ("batches, stepped", _ => ReadRawAsync(broker, partitions, records, steps: true)),
                ("partition reader", _ => ReadPartitionsAsync(client, partitions, records)),
                ("consumer in a group", round => ConsumeAsync(client, records, $"consumer-{round}")),
                ("handler by partition", round => HandleAsync(client, records, $"handler-{round}", HandlingParallelism.Partition)),
                ("handler by key, 16", round => HandleAsync(client, records, $"keyed-{round}", HandlingParallelism.Key)),
            };
            Console.WriteLine($"{"",-20} | records/s | records per processor-second | allocated B/record   (medians of {rounds} rounds)");
            foreach (var (name, read) in reads)
                await MeasureAsync(name, read, rounds, records);
            await MeasureJoinsAsync(client, joins);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static async Task FillAsync(OrleansMqClient client, int records, int size)
    {
        var value = new byte[size];
        Samples.Fill(new Random(1), value);
        await using var producer = client.CreateProducer<int, byte[]>();
        for (var i = 0; i < records; i++)
        {
            var accepted = producer.EnqueueAsync(new ProducerRecord<int, byte[]>(Topic, i, value));
            if (!accepted.IsCompletedSuccessfully)
                await accepted;
        }
    }

    private static async Task ReadRawAsync(LocalBroker broker, int partitions, int records, bool steps)
    {
        var read = 0L;
        for (var partition = 0; partition < partitions; partition++)
        {
            var at = new TopicPartition(Topic, partition);
            var end = (await broker.FindOffsetAsync(at, OffsetSpec.Latest)).Offset;
            for (var offset = 0L; offset < end;)
            {
                using var result = await broker.FetchAsync(new FetchRequest(at, offset));
                var batches = result.Records;
                while (batches.Length > 0)
                {
                    var header = RecordBatchHeader.Read(batches.Span);
                    offset = header.NextOffset;
                    read += steps ? 0 : header.RecordCount;
                    batches = batches[header.SizeInBytes..];
                }
                if (!steps)
                    continue;
                using var reader = new RecordReader(result.Records, StandardCodecs.All);
                while (reader.MoveNext())
                    read++;
            }
        }
        if (read != records)
            throw new InvalidOperationException($"{read} of {records} records were read.");
    }

    private static async Task ReadPartitionsAsync(OrleansMqClient client, int partitions, int records)
    {
        await using var reader = client.CreatePartitionReader<Ignore, ReadOnlyMemory<byte>>();
        reader.Assign(Enumerable.Range(0, partitions).Select(partition => new TopicPartition(Topic, partition)), ReadFrom.Earliest);
        for (var i = 0; i < records; i++)
            await reader.ReadAsync();
    }

    private static async Task ConsumeAsync(OrleansMqClient client, int records, string group)
    {
        await using var consumer =
            client.CreateConsumer<Ignore, ReadOnlyMemory<byte>>(new() { GroupId = group, AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Subscribe(Topic);
        for (var i = 0; i < records; i++)
            await consumer.ReadAsync();
    }

    private static async Task HandleAsync(OrleansMqClient client, int records, string group, HandlingParallelism parallelism)
    {
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var handled = 0;
        await using var processor =
            client.CreateProcessor<Ignore, ReadOnlyMemory<byte>>(new() { GroupId = group, AutoOffsetReset = AutoOffsetReset.Earliest },
            new() { Topics = [Topic], Parallelism = parallelism }, (_, _) =>
            {
                if (Interlocked.Increment(ref handled) == records)
                    all.TrySetResult();
                return default;
            });
        processor.Start();
        await all.Task;
    }

    private static async Task MeasureAsync(string name, Func<int, Task> read, int rounds, int records)
    {
        var speeds = new List<double>();
        var perProcessor = new List<double>();
        var allocated = new List<double>();
        var process = Process.GetCurrentProcess();
        // The first round is a warm-up and not counted.
        for (var round = 0; round <= rounds; round++)
        {
            process.Refresh();
            var (bytes, processor, start) = (GC.GetTotalAllocatedBytes(precise: true), process.TotalProcessorTime,
                Stopwatch.GetTimestamp());
            await read(round);
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            process.Refresh();
            if (round == 0)
                continue;
            speeds.Add(records / seconds);
            perProcessor.Add(records / (process.TotalProcessorTime - processor).TotalSeconds);
            allocated.Add((double)(GC.GetTotalAllocatedBytes(precise: true) - bytes) / records);
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name,-20} | {Statistics.Median(speeds),9:N0} | {Statistics.Median(perProcessor),28:N0} | "
            + $"{Statistics.Median(allocated),8:F0}"));
    }

    /// <summary>Measures the time from the subscription to the first record: for the first member of a new group, and for the second member
    /// of a group that already reads.</summary>
    private static async Task MeasureJoinsAsync(OrleansMqClient client, int joins)
    {
        var alone = new List<double>();
        var second = new List<double>();
        for (var i = 0; i < joins; i++)
        {
            var options = new ConsumerOptions { GroupId = $"join-{i}", AutoOffsetReset = AutoOffsetReset.Earliest };
            await using var first = client.CreateConsumer<Ignore, Ignore>(options);
            var start = Stopwatch.GetTimestamp();
            first.Subscribe(Topic);
            await first.ReadAsync();
            alone.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            using var stop = new CancellationTokenSource();
            var reading = Task.Run(async () =>
            {
                try
                {
                    while (true)
                        await first.ReadAsync(stop.Token);
                }
                catch (OperationCanceledException)
                {
                    // The second member has its first record.
                }
            });
            await using var other = client.CreateConsumer<Ignore, Ignore>(options with { AutoCommit = false });
            start = Stopwatch.GetTimestamp();
            other.SubscribePattern(Topic);
            await WaitForAssignmentAsync(other);
            second.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            await stop.CancelAsync();
            await reading;
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"join to first record: median {Statistics.Median(alone):F1} ms, worst {alone.Max():F1} ms; join of a second member to its "
            + $"partitions: median {Statistics.Median(second):F1} ms, worst {second.Max():F1} ms"));
    }

    private static async Task WaitForAssignmentAsync(IConsumer consumer)
    {
        while (consumer.Assignment.Count == 0)
            await Task.Delay(1);
    }
}
