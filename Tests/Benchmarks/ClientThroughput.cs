using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Compression;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Records of 100 bytes a second through the client library: an idempotent producer with acks=all, and a partition reader, over a
/// broker in this process on the machine's disk. The time runs from the first send until the last record is acknowledged (or
/// read).</summary>
internal static class ClientThroughput
{
    private const string Topic = "throughput";

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var rounds = arguments.Number("--rounds", 5);
        var records = arguments.Number("--records", 2_000_000);
        var size = arguments.Number("--size", 100);
        var partitions = arguments.Number("--partitions", 4);
        var directory = arguments.Directory("client-throughput");
        Console.WriteLine($"{records} records of {size} bytes a round, {partitions} partitions, {Environment.ProcessorCount} processors, "
            + $"in {directory}");
        Console.WriteLine("round | produced/s | CPU s | allocated B/record | consumed/s | CPU s | allocated B/record");

        var produced = new List<double>();
        var consumed = new List<double>();
        try
        {
            // The first round is a warm-up and not counted.
            for (var round = 0; round <= rounds; round++)
            {
                var options = new BrokerOptions { DataDirectory = Path.Combine(directory, "data"), Codecs = StandardCodecs.All };
                await using var broker = await LocalBroker.OpenAsync(options);
                var topic = $"{Topic}-{round}";
                await broker.CreateTopicAsync(new NewTopic(topic, partitions));
                var client = new OrleansMqClient(broker);
                var produce = await MeasureAsync(() => ProduceAsync(client, topic, records, size));
                var consume = await MeasureAsync(() => ConsumeAsync(client, topic, partitions, records));
                await broker.DeleteTopicAsync(topic);
                var label = round == 0 ? "warm" : round.ToString(CultureInfo.InvariantCulture);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{label,5} | {produce.Show(records)} | {consume.Show(records)}"));
                if (round == 0)
                    continue;
                produced.Add(records / produce.Seconds);
                consumed.Add(records / consume.Seconds);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"median: {Statistics.Median(produced):N0} produced/s (best {produced.Max():N0}), "
            + $"{Statistics.Median(consumed):N0} consumed/s (best {consumed.Max():N0})"));
        return 0;
    }

    private static async Task ProduceAsync(OrleansMqClient client, string topic, int records, int size)
    {
        var value = new byte[size];
        Samples.Fill(new Random(1), value);
        await using var producer = client.CreateProducer<Ignore, byte[]>();
        for (var i = 0; i < records; i++)
        {
            // Awaits only when the producer's buffer is full.
            var accepted = producer.EnqueueAsync(new ProducerRecord<Ignore, byte[]>(topic, default, value));
            if (!accepted.IsCompletedSuccessfully)
                await accepted;
        }
        await producer.FlushAsync();
        var statistics = producer.Statistics;
        if (statistics.RecordsDelivered != records)
            throw new InvalidOperationException($"{statistics.RecordsDelivered} of {records} records were delivered, "
                + $"{statistics.RecordsFailed} failed.");
    }

    private static async Task ConsumeAsync(OrleansMqClient client, string topic, int partitions, int records)
    {
        await using var reader = client.CreatePartitionReader<Ignore, ReadOnlyMemory<byte>>();
        reader.Assign(Enumerable.Range(0, partitions).Select(p => new TopicPartition(topic, p)), ReadFrom.Earliest);
        for (var i = 0; i < records; i++)
            await reader.ReadAsync();
    }

    private static async Task<Measurement> MeasureAsync(Func<Task> work)
    {
        var process = Process.GetCurrentProcess();
        var allocated = GC.GetTotalAllocatedBytes(precise: true);
        var processor = process.TotalProcessorTime;
        var start = Stopwatch.GetTimestamp();
        await work();
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        process.Refresh();
        return new Measurement(seconds, (process.TotalProcessorTime - processor).TotalSeconds,
            GC.GetTotalAllocatedBytes(precise: true) - allocated);
    }

    private readonly record struct Measurement(double Seconds, double ProcessorSeconds, long Allocated)
    {
        public string Show(int records) => string.Create(CultureInfo.InvariantCulture,
            $"{records / Seconds,10:N0} | {ProcessorSeconds,5:F2} | {(double)Allocated / records,18:F1}");
    }
}
