using System.Diagnostics;
using System.Globalization;
using Confluent.Kafka;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;
using KafkaPartition = Confluent.Kafka.TopicPartition;
using KafkaOffset = Confluent.Kafka.TopicPartitionOffset;
using KafkaIsolation = Confluent.Kafka.IsolationLevel;

namespace OrleansMq.Tests.Chaos.Transactions.Copiers;

/// <summary>What is copied under which faults.</summary>
/// <param name="Messages">The number of messages.</param>
/// <param name="TransactionSize">The messages of a transaction.</param>
/// <param name="Faults">The most faults, one after each further part of the messages.</param>
/// <param name="LastKind">The faults, up to this one.</param>
internal sealed record CopierLoad(int Messages, int TransactionSize, int Faults, CopierFault LastKind);

/// <summary>Apache Kafka's TransactionalMessageCopier copies each partition of a topic, with random aborts, while it and the brokers are
/// killed, stopped and paused. The copy must be the original, record by record.</summary>
internal sealed class CopierRun(ICopierBrokers brokers, RunLog log, int seed, CopierLoad load)
{
    /// <summary>The topics: the original, the copy.</summary>
    public static readonly IReadOnlyList<string> Topics = ["input", "output"];

    private const string Group = "transactions-test-consumer-group";
    private const int Partitions = 2;
    private const int MaxRestarts = 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    // Without progress. A transaction that was left open ends after its timeout.
    private static readonly TimeSpan ProgressPatience = TimeSpan.FromSeconds(120);

    /// <summary>Copies all messages and compares. Returns the figures.</summary>
    public async Task<string> RunAsync(CancellationToken cancellationToken)
    {
        await TransactionTopics.CreateAsync(brokers.Servers, Topics, Partitions, brokers.Replicas);
        await WriteAsync();
        log.Tell($"seed {seed}: {load.Messages} messages are written");
        Copier[] copiers = [.. Enumerable.Range(0, Partitions).Select(partition => new Copier(partition, brokers.Servers, load, log))];
        try
        {
            var (done, restarts) = await CopyAsync(copiers, cancellationToken);
            var (input, output) = (Read("input"), Read("output"));
            Assert.Equal(load.Messages, input.Sum(static partition => partition.Count));
            for (var partition = 0; partition < Partitions; partition++)
                Assert.Equal(input[partition], output[partition]);
            var figures = string.Create(CultureInfo.InvariantCulture,
                $"figures: seed {seed}; {done} faults, {restarts} restarts of copiers; {load.Messages} messages copied exactly once");
            log.Tell(figures);
            return figures;
        }
        finally
        {
            foreach (var copier in copiers)
                await copier.DisposeAsync();
        }
    }

    // One fault after each further part of the messages.
    private async Task<(int Faults, int Restarts)> CopyAsync(Copier[] copiers, CancellationToken cancellationToken)
    {
        var (random, done, restarts, best, progress) = (new Random(seed), 0, 0, -1L, Stopwatch.StartNew());
        // A committed reader would wait for offsets without an open transaction, which busy copiers hardly ever leave.
        using var group = Consumer(KafkaIsolation.ReadUncommitted, Group);
        foreach (var copier in copiers)
            copier.Start();
        while (copiers.Any(static copier => !copier.IsDone))
        {
            foreach (var copier in copiers.Where(static copier => copier.HasFailed))
            {
                Assert.True(++restarts <= MaxRestarts, $"A copier ends again and again: {copier.Said}");
                copier.Start();
            }
            var copied = Copied(group);
            if (copied > best)
                (best, progress) = (copied, Stopwatch.StartNew());
            Assert.False(progress.Elapsed > ProgressPatience, $"No progress since {best} of {load.Messages} messages: {copiers[0].Said}");
            if (done < load.Faults && copied >= (long)load.Messages * (done + 1) / (load.Faults + 2))
            {
                done++;
                await BreakAsync(copiers, random, copied, cancellationToken);
            }
            await Task.Delay(20, cancellationToken);
        }
        // A fast machine may be at the end before the last ones.
        Assert.InRange(done, 1, load.Faults);
        return (done, restarts);
    }

    private async Task BreakAsync(Copier[] copiers, Random random, long copied, CancellationToken cancellationToken)
    {
        var (fault, choice) = ((CopierFault)(1 + random.Next((int)load.LastKind)), random.Next(1 << 20));
        if (random.Next(2) == 0)
        {
            log.Tell($"{fault} of a broker after {copied} messages");
            await brokers.BreakAsync(fault, choice, cancellationToken);
        }
        else
        {
            log.Tell($"{fault} of copier {choice % copiers.Length} after {copied} messages");
            await copiers[choice % copiers.Length].BreakAsync(fault, cancellationToken);
        }
    }

    private async Task WriteAsync()
    {
        using var producer = new ProducerBuilder<Null, string>(new ProducerConfig
        {
            BootstrapServers = brokers.Servers,
            EnableIdempotence = true,
            LingerMs = 20,
            QueueBufferingMaxMessages = load.Messages + 1,
        }).Build();
        var failures = 0;
        for (var message = 0; message < load.Messages; message++)
        {
            producer.Produce(new KafkaPartition("input", message % Partitions),
                new Message<Null, string> { Value = message.ToString(CultureInfo.InvariantCulture) },
                stored => Interlocked.Add(ref failures, stored.Error.IsError ? 1 : 0));
        }
        await Task.Run(() => Assert.Equal(0, producer.Flush(ProgressPatience)));
        Assert.Equal(0, failures);
    }

    // By the group's offsets, which come with the copies.
    private static long Copied(IConsumer<Ignore, string> consumer)
    {
        try
        {
            return consumer.Committed(Enumerable.Range(0, Partitions).Select(static partition => new KafkaPartition("input", partition)),
                TimeSpan.FromSeconds(3)).Sum(static partition => Math.Max(0, partition.Offset.Value));
        }
        catch (KafkaException away) when (!away.Error.IsFatal)
        {
            return -1;
        }
    }

    private List<string>[] Read(string topic)
    {
        using var consumer = Consumer(KafkaIsolation.ReadCommitted, "unused");
        var partitions = Enumerable.Range(0, Partitions).Select(partition => new KafkaOffset(topic, partition, Offset.Beginning)).ToList();
        consumer.Assign(partitions);
        List<string>[] read = [.. partitions.Select(static _ => new List<string>())];
        for (var ended = 0; ended < Partitions;)
        {
            var next = consumer.Consume(Patience);
            Assert.True(next is not null, $"Nothing came of {topic} after {read.Sum(static partition => partition.Count)} messages.");
            if (next!.IsPartitionEOF)
                ended++;
            else
                read[next.Partition.Value].Add(next.Message.Value);
        }
        return read;
    }

    private IConsumer<Ignore, string> Consumer(KafkaIsolation isolation, string group)
    {
        var config = new ConsumerConfig
        {
            BootstrapServers = brokers.Servers,
            GroupId = group,
            IsolationLevel = isolation,
            EnablePartitionEof = true,
            EnableAutoCommit = false,
        };
        return new ConsumerBuilder<Ignore, string>(config).SetLogHandler(static (_, _) => { }).SetErrorHandler(static (_, _) => { })
            .Build();
    }

    // A process for one partition. It ends when it has copied what there was at its start.
    private sealed class Copier(int partition, string servers, CopierLoad load, RunLog log) : IAsyncDisposable
    {
        private StartedProgram? _program;

        public bool IsDone => _program is { HasExited: true } program && program.ExitAsync().Result == 0;

        public bool HasFailed => _program is { HasExited: true } && !IsDone;

        public string Said => _program?.Said() ?? "nothing";

        public void Start() => _program = new StartedProgram(ClientProgram.Require("java"), ClientProgram.Java(
            "org.apache.kafka.tools.TransactionalMessageCopier", "--broker-list", servers, "--input-topic", "input", "--output-topic",
            "output", "--input-partition", $"{partition}", "--consumer-group", Group, "--transactional-id", $"copier-{partition}",
            "--transaction-size", $"{load.TransactionSize}", "--transaction-timeout", "10000", "--enable-random-aborts"),
            line => log.Note($"copier {partition}: {line}"));

        public async Task BreakAsync(CopierFault fault, CancellationToken cancellationToken)
        {
            var program = _program!;
            if (fault == CopierFault.Pause)
            {
                Signals.TrySend(program.Id, Signals.Stop);
                await Task.Delay(TimeSpan.FromSeconds(12), cancellationToken);
                Signals.TrySend(program.Id, Signals.Continue);
                return;
            }
            Signals.TrySend(program.Id, fault == CopierFault.Kill ? Signals.Kill : Signals.Terminate);
            await program.ExitAsync().WaitAsync(ProgressPatience, cancellationToken);
            await program.DisposeAsync();
            Start();
        }

        public async ValueTask DisposeAsync()
        {
            if (_program is not null)
                await _program.DisposeAsync();
        }
    }
}
