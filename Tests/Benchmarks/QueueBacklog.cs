using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>A broker that starts over a queue of many waiting messages, beside one whose queue has few: from the start of its process to
/// the first delivery, and its resident memory after a thousand. Each broker has a process of its own.</summary>
internal static class QueueBacklog
{
    private const string Queue = "work";
    private const int PerBatch = 1_000;
    private static readonly TopicPartition Partition = new("backlog", 0);

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        if (arguments.Text("--measure") is { } measured)
            return await MeasureAsync(measured);
        var messages = arguments.Number("--messages", 100_000_000) / PerBatch * PerBatch;
        var rounds = arguments.Number("--rounds", 3);
        var directory = arguments.Directory("backlog");
        try
        {
            var (few, many) = (Path.Combine(directory, "few"), Path.Combine(directory, "many"));
            await PublishAsync(few, PerBatch);
            var watch = Stopwatch.StartNew();
            await PublishAsync(many, messages);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{messages:N0} messages of 100 bytes in a partition, published in {watch.Elapsed.TotalSeconds:N0} s"));
            for (var round = 0; round < rounds; round++)
            {
                Print($"{PerBatch:N0} messages", await OwnProcess.RunAsync("queue-backlog", "--measure", few));
                Print($"{messages:N0} messages", await OwnProcess.RunAsync("queue-backlog", "--measure", many));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static void Print(string label, string[] lines) => Console.WriteLine($"{label}: {lines[^1]}");

    private static BrokerOptions OptionsOf(string directory) => new() { DataDirectory = directory, Codecs = StandardCodecs.All };

    private static async Task PublishAsync(string directory, int messages)
    {
        await using var broker = await LocalBroker.OpenAsync(OptionsOf(directory));
        await broker.CreateTopicAsync(new NewTopic(Partition.Topic));
        await ((IBroker)broker).Queues.CreateAsync(Partition, new NewQueue(Queue));
        var value = new byte[100];
        Samples.Fill(new Random(1), value);
        var sent = new Queue<Task<ProduceResult>>();
        for (var published = 0; published < messages; published += PerBatch)
        {
            using var builder = new RecordBatchBuilder();
            for (var number = 0; number < PerBatch; number++)
                builder.Add(1_767_225_600_000 + published + number, [], hasKey: false, value, hasValue: true);
            // The memory of a batch belongs to the broker from now on.
            sent.Enqueue(broker.ProduceAsync(Partition, builder.Build().ToArray(), Acks.All).AsTask());
            if (sent.Count == 8)
                Check(await sent.Dequeue());
        }
        while (sent.TryDequeue(out var last))
            Check(await last);
    }

    private static void Check(ProduceResult result)
    {
        if (result.Error != ErrorCode.None)
            throw new InvalidOperationException($"A batch was answered with {result.Error}: {result.Message}");
    }

    private static async Task<int> MeasureAsync(string directory)
    {
        await using var broker = await LocalBroker.OpenAsync(OptionsOf(directory));
        var opened = SinceStart();
        var queues = ((IBroker)broker).Queues;
        var consumer = await queues.AttachAsync(Partition, Queue, new QueueAttachOptions { Prefetch = PerBatch });
        var delivery = await queues.ReceiveAsync(Partition, consumer, 1, TimeSpan.FromMinutes(1))
            ?? throw new InvalidOperationException("Nothing was delivered within a minute.");
        var delivered = SinceStart();
        for (var received = delivery.Records.Count; received < PerBatch && delivery is not null; received += delivery?.Records.Count ?? 0)
            delivery = await queues.ReceiveAsync(Partition, consumer, PerBatch, TimeSpan.FromMinutes(1));
        using var process = Process.GetCurrentProcess();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"open {opened.TotalMilliseconds:N0} ms after the start of the "
            + $"process, first delivery after {delivered.TotalMilliseconds:N0} ms, {process.WorkingSet64 >> 20:N0} MiB resident"));
        return 0;
    }

    private static TimeSpan SinceStart()
    {
        using var process = Process.GetCurrentProcess();
        return DateTime.Now - process.StartTime;
    }
}
