using System.Diagnostics;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>librdkafka through kcat: it produces the lines of a file, and reads the topic to its end.</summary>
/// <param name="settings">The broker's settings.</param>
/// <param name="recordBytes">The size of a line.</param>
/// <param name="records">The number of records.</param>
/// <param name="partitions">The partitions of the topic.</param>
internal sealed class KcatWork(BrokerSettings settings, int recordBytes, int records, int partitions) : IWork
{
    private const string Topic = "kcat";

    // By default librdkafka pauses fetching for a second once 100,000 records are queued; the rate would be that of its pauses.
    private const string LargeQueues = " -X queued.min.messages=10000000 -X queued.max.messages.kbytes=2000000";

    public BrokerSettings Settings { get; } = settings;

    public string? Lacks =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .Any(folder => File.Exists(Path.Combine(folder, "kcat")))
            ? null : "kcat is not on the path: install Debian's package kcat";

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var count = (int)(records * scale);
        var file = Path.Combine(broker.Directory, "lines");
        await WriteLinesAsync(file, count, cancellationToken);
        foreach (var topic in new[] { Topic, Topic + "-warm" })
            WorkTopics.Create(broker, topic, partitions, Settings);
        var produce = $"exec kcat -P -b {broker.Endpoint} -X acks={(Settings.Nodes == 1 ? "1" : "all")} -X "
            + $"queue.buffering.max.messages=1000000 -l {file} -t ";
        var consume = $"exec kcat -C -b {broker.Endpoint} -o beginning -e -q -f '%p' -t {Topic}";
        await RunAsync(produce + Topic + "-warm", count, cancellationToken);
        var produced = await BrokerCpu.OfAsync(broker, count, () => RunAsync(produce + Topic, count, cancellationToken));
        const string toNowhere = " >/dev/null";
        await RunAsync(consume + toNowhere, count, cancellationToken);
        var consumed = await BrokerCpu.OfAsync(broker, count, () => RunAsync(consume + toNowhere, count, cancellationToken));
        var unlimited = await BrokerCpu.OfAsync(broker, count, () => RunAsync(consume + LargeQueues + toNowhere, count, cancellationToken));
        File.Delete(file);
        return [new Measurement("kcat -P", produced), new Measurement("kcat -C", consumed),
            new Measurement("kcat -C, large queues", unlimited)];
    }

    private async Task<Dictionary<Figure, double>> RunAsync(string command, int count, CancellationToken cancellationToken)
    {
        var start = Stopwatch.GetTimestamp();
        await ChildProcess.RunAsync(["bash", "-c", command], cancellationToken);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return new Dictionary<Figure, double> { [Figure.RecordsPerSecond] = count / seconds,
            [Figure.MegabytesPerSecond] = (double)count * recordBytes / seconds / 1e6 };
    }

    private async Task WriteLinesAsync(string file, int count, CancellationToken cancellationToken)
    {
        var random = new Random(1);
        var line = new byte[recordBytes + 1];
        await using var stream = new FileStream(file, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20);
        for (var i = 0; i < count; i++)
        {
            // A new line only every so often, since encoding each would take longer than sending it.
            if (i % 16 == 0)
                Samples.Fill(random, line);
            line[^1] = (byte)'\n';
            await stream.WriteAsync(line, cancellationToken);
        }
    }
}
