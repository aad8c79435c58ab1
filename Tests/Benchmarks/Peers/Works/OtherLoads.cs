using System.Diagnostics;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Redis;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Loads RocketMQ with its Java client: senders that each await an answer share one connection. A first run warms up the broker;
/// the client is restarted.</summary>
/// <param name="settings">The broker's settings.</param>
/// <param name="queues">The queues of the topic.</param>
/// <param name="senders">The number of senders.</param>
/// <param name="batch">Messages a call, all for one queue.</param>
/// <param name="recordBytes">The size of a message.</param>
/// <param name="records">The number of counted messages.</param>
internal sealed class RocketMqWork(BrokerSettings settings, int queues, int senders, int batch, int recordBytes, long records) : IWork
{
    private const int Attempts = 5;
    private const int SlowestPerSecond = 5000;
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(45);

    public BrokerSettings Settings => settings;

    public string? Lacks => PeerScript.Lacks;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var count = (long)(records * scale);
        // The first message creates the topic.
        await SendAsync(broker, batch, cancellationToken);
        await SendAsync(broker, count, cancellationToken);
        return [new Measurement("produce", await SendAsync(broker, count, cancellationToken))];
    }

    // Its program keeps running after its main thread failed, as when the broker is busy or not yet registered at the name server. It is
    // then killed and retried.
    private async Task<Dictionary<Figure, double>> SendAsync(RunningBroker broker, long count, CancellationToken cancellationToken)
    {
        var patience = StartPatience + TimeSpan.FromSeconds(count / SlowestPerSecond);
        for (var attempt = 1; attempt <= Attempts; attempt++)
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            deadline.CancelAfter(patience);
            try
            {
                var before = ProcessorTime.Of(broker.AllProcesses);
                var output = await ChildProcess.RunAsync(PeerScript.Words("rocketmq-load", "produce", broker.Endpoint, "load",
                    Words.Of(count), Words.Of(recordBytes),
                    Words.Of(senders), Words.Of(batch), Words.Of(queues)), deadline.Token);
                var figures = LoaderOutput.Read(output.Text, out var sent);
                figures[Figure.CpuPerMillion] = (ProcessorTime.Of(broker.AllProcesses) - before) / (sent / 1e6);
                return figures;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // Retry.
            }
        }
        throw new PeerFailedException($"RocketMQ's client did not send {count} messages within {patience.TotalSeconds:0} s, {Attempts} "
            + "times.");
    }
}

/// <summary>Loads NATS with a program on its Go client: one message a PUB, with a window of unanswered messages on each connection, into
/// one stream in files.</summary>
/// <param name="connections">The number of connections.</param>
/// <param name="unanswered">The window of each.</param>
/// <param name="recordBytes">The size of a message.</param>
/// <param name="records">The number of counted messages.</param>
internal sealed class NatsWork(int connections, int unanswered, int recordBytes, long records) : IWork
{
    private const int Attempts = 10;

    private static string Program => Path.Combine(PeerScript.Folder ?? "", "nats", "nats-load");

    public BrokerSettings Settings => new();

    public string? Lacks => PeerScript.Lacks ?? (File.Exists(Program) ? null : $"{Program} is not there");

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        await SendAsync(broker, "warm", (long)(records * scale / 4), cancellationToken);
        return [new Measurement("produce", await SendAsync(broker, "load", (long)(records * scale), cancellationToken))];
    }

    private async Task<Dictionary<Figure, double>> SendAsync(RunningBroker broker, string stream, long count,
        CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var before = ProcessorTime.Of(broker.AllProcesses);
                var output = await ChildProcess.RunAsync([Program, "produce", $"nats://{broker.Endpoint}", $"{stream}{attempt}",
                    Words.Of(count), Words.Of(recordBytes),
                    Words.Of(unanswered), Words.Of(connections)], cancellationToken);
                var figures = LoaderOutput.Read(output.Text, out var sent);
                figures[Figure.CpuPerMillion] = (ProcessorTime.Of(broker.AllProcesses) - before) / (sent / 1e6);
                return figures;
            }
            catch (PeerFailedException stalled) when (attempt < Attempts && stalled.Message.Contains("stalled", StringComparison.Ordinal))
            {
                // Its client gives up after 200 ms without an answer, as on a busy disk. The run is repeated with a new stream.
            }
        }
    }
}

/// <summary>Loads a broker with RabbitMQ's generator: persistent messages, publisher confirms, one queue. Its first seconds are not
/// counted.</summary>
/// <param name="quorum">Whether the queue is a quorum queue with a replica on each node, or a classic durable one.</param>
/// <param name="connections">The number of connections.</param>
/// <param name="unconfirmed">The window of each.</param>
/// <param name="recordBytes">The size of a message.</param>
/// <param name="consumers">The consumers that acknowledge each message. With some, received messages are counted.</param>
/// <param name="nodes">The nodes of the broker. Of several, all connections go to the one that leads the queue: PerfTest would choose a
/// node for each at random, and a message that enters elsewhere takes one more step.</param>
internal sealed class PerfTestWork(bool quorum, int connections, int unconfirmed, int recordBytes, int consumers = 0, int nodes = 1) : IWork
{
    private const string Queue = "load";

    // Enough for some whole seconds after the uncounted ones, even in a short run.
    private const int Seconds = 12;
    private const int LeastSeconds = 6;

    // Before, with a consumer, which keeps the queue short. A program that compiles while it runs has compiled what it needs then.
    private const int WarmUpSeconds = 20;
    private const int WarmUpUnconfirmed = 500;

    public BrokerSettings Settings => new(nodes, FlushSetting.EveryAcknowledgement);

    public string? Lacks => PeerScript.Lacks;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        // Declared as PerfTest will again.
        var endpoint = nodes == 1 ? broker.Endpoint : await AmqpQueues.DeclareAsync(broker, Queue, quorum, nodes, cancellationToken);
        await LoadAsync(endpoint, WarmUpSeconds, WarmUpUnconfirmed, Math.Max(consumers, 1), cancellationToken);
        var before = ProcessorTime.Of(broker.AllProcesses);
        var output = await LoadAsync(endpoint, Math.Max((int)(Seconds * scale), LeastSeconds), unconfirmed, consumers,
            cancellationToken);
        var (perSecond, confirmed, p50, p99) = PerfTestOutput.Read(output.Text, consumers > 0);
        return
        [
            new Measurement(consumers > 0 ? "produce and consume" : "produce", new Dictionary<Figure, double>
            {
                [Figure.RecordsPerSecond] = perSecond,
                [Figure.MegabytesPerSecond] = perSecond * recordBytes / 1e6,
                [Figure.P50] = p50,
                [Figure.P99] = p99,
                [Figure.CpuPerMillion] = (ProcessorTime.Of(broker.AllProcesses) - before) / (confirmed / 1e6),
            }),
        ];
    }

    private Task<ProgramOutput> LoadAsync(string endpoint, int seconds, int window, int consuming, CancellationToken cancellationToken)
    {
        string[] kind = quorum ? ["--quorum-queue"] : [];
        return ChildProcess.RunAsync(PeerScript.Words(["perftest", "-h", $"amqp://guest:guest@{endpoint}", "-x", Words.Of(connections),
            "-y", Words.Of(consuming), "-q", "500", "-s", Words.Of(recordBytes), "-z", Words.Of(seconds), "-c", Words.Of(window),
            "-f", "persistent", "-ad", "false", "-u", Queue, .. kind]), cancellationToken);
    }
}

/// <summary>Appends to a Redis stream like <see cref="ReplayWork"/> to partitions: the same threads, buffers and clock, and answered
/// commands are replaced at once. (<c>redis-benchmark -P</c> sends a block and awaits all its answers, so that client and server idle in
/// turn.)</summary>
/// <param name="settings">When the append-only file is synced.</param>
/// <param name="connections">The number of connections.</param>
/// <param name="unanswered">The window of each, one entry a command.</param>
/// <param name="recordBytes">The size of an entry's only value.</param>
/// <param name="records">The number of counted entries.</param>
internal sealed class RedisWork(BrokerSettings settings, int connections, int unanswered, int recordBytes, long records) : IWork
{
    public BrokerSettings Settings => settings;

    public string? Lacks => null;

    public Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken) =>
        Task.Run<IReadOnlyList<Measurement>>(() =>
        {
            var value = new byte[recordBytes];
            Samples.Fill(new Random(1), value);
            var open = new List<RedisConnection>();
            try
            {
                for (var i = 0; i < connections; i++)
                    open.Add(new RedisConnection(broker.Endpoint, "load", value, unanswered));
                var count = (long)(records * scale);
                Send(open, count, new LatencyHistogram(), cancellationToken);
                var latencies = new LatencyHistogram();
                var processor = (Broker: ProcessorTime.Of(broker.AllProcesses), Own: Environment.CpuUsage.TotalTime);
                var start = Stopwatch.GetTimestamp();
                Send(open, count, latencies, cancellationToken);
                var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
                return
                [
                    LoadMeasurement.Of("produce", new LoadResult(count, count * recordBytes, seconds, count, latencies.Summarize(),
                        (Environment.CpuUsage.TotalTime - processor.Own).TotalSeconds,
                        ProcessorTime.Of(broker.AllProcesses) - processor.Broker)),
                ];
            }
            finally
            {
                open.ForEach(static connection => connection.Dispose());
            }
        }, CancellationToken.None);

    private static void Send(List<RedisConnection> open, long count, LatencyHistogram latencies, CancellationToken cancellationToken)
    {
        var pace = new Pace(count, 0);
        using var cancelled = cancellationToken.Register(pace.Stop);
        WindowedLoad.Run(open, pace, latencies);
        cancellationToken.ThrowIfCancellationRequested();
    }
}

/// <summary>Writes the bytes that <see cref="ReplayWork"/> sends to a file, a batch a call, sequentially.</summary>
/// <param name="load">Its sizes and counts.</param>
/// <param name="batchesToSync">The batches between flushes, with one more at the end; 0: never.</param>
internal sealed class DiskWork(LoadOptions load, int batchesToSync) : IWork
{
    public BrokerSettings Settings => new();

    public string? Lacks => null;

    public Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken) =>
        Task.Run<IReadOnlyList<Measurement>>(() =>
        {
            var scaled = load.Scaled(scale);
            var batch = ProduceTemplate.Batch(load.RecordBytes, load.BatchBytes, load.Codec, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(),
                out var recordsInBatch);
            using var file = File.OpenHandle(Path.Combine(broker.Directory, "raw"), FileMode.CreateNew, FileAccess.Write);
            var at = Write(file, batch, 0, scaled.WarmRecords / recordsInBatch, new LatencyHistogram(), cancellationToken);
            var latencies = new LatencyHistogram();
            var processor = Environment.CpuUsage.TotalTime;
            var start = Stopwatch.GetTimestamp();
            var batches = scaled.Records / recordsInBatch;
            Write(file, batch, at, batches, latencies, cancellationToken);
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var used = (Environment.CpuUsage.TotalTime - processor).TotalSeconds;
            return [LoadMeasurement.Of("produce",
                new LoadResult(batches * recordsInBatch, batches * batch.Length, seconds, batches, latencies.Summarize(), used, used))];
        }, CancellationToken.None);

    private long Write(Microsoft.Win32.SafeHandles.SafeFileHandle file, byte[] batch, long at, long batches, LatencyHistogram latencies,
        CancellationToken cancellationToken)
    {
        for (var done = 1L; done <= batches; done++, at += batch.Length)
        {
            var start = Stopwatch.GetTimestamp();
            RandomAccess.Write(file, batch, at);
            if (batchesToSync > 0 && (done % batchesToSync == 0 || done == batches))
                RandomAccess.FlushToDisk(file);
            latencies.RecordSince(start);
            cancellationToken.ThrowIfCancellationRequested();
        }
        return at;
    }
}
