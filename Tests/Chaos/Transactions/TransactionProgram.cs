using System.Diagnostics;
using System.Globalization;
using Confluent.Kafka;
using OrleansMq.Tests.Shared;
using KafkaPartition = Confluent.Kafka.TopicPartition;
using KafkaIsolation = Confluent.Kafka.IsolationLevel;
using KafkaOffset = Confluent.Kafka.TopicPartitionOffset;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>The order of a process that produces transactions by librdkafka, as JSON.</summary>
/// <param name="Role">Writer or copier.</param>
/// <param name="Servers">The brokers.</param>
/// <param name="TransactionalId">Its transactional id.</param>
/// <param name="Name">The name of its events; no other process has it.</param>
/// <param name="Seed">Decides what it does.</param>
internal sealed record TransactionOrder(string Role, string Servers, string TransactionalId, string Name, int Seed);

/// <summary>A producer of transactions or a copier from one topic to another, over librdkafka. It does the same as
/// <c>TransactionClient.java</c> does over Kafka's own client.</summary>
internal sealed class TransactionProgram(TransactionOrder order, CancellationToken stop)
{
    /// <summary>The program's first argument.</summary>
    public const string Argument = "transactions";
    /// <summary>Begins a line of librdkafka's log.</summary>
    public const string LogMark = "log ";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private const int Attempts = 5;
    private const int PolledAtOnce = 10;

    // A leader that changes to and fro within moments leaves librdkafka, up to 2.15, at the one in between, which it asks for ever: a
    // defect of its own (librdkafka#5593). It says so, and here no consumer prefers a follower. The program ends, as if an operator had
    // seen that, and another one takes its place.
    private const string Astray = "not migrating away from preferred replica";

    // Metadata leaves out a coordinator that is dead. Librdkafka, up to 2.16, may go on waiting for it in a commit of offsets, longer than
    // the timeout that it is given: a defect of its own (librdkafka#5456, librdkafka#5511). A pause of this process, and the timeout of a
    // transaction, are shorter.
    private static readonly TimeSpan Hung = TimeSpan.FromSeconds(30);

    private static volatile bool s_isAstray;

    private readonly Random _random = new(order.Seed);
    private readonly IProducer<Null, string> _producer = new ProducerBuilder<Null, string>(new ProducerConfig(Common(order.Servers))
    {
        TransactionalId = order.TransactionalId,
        TransactionTimeoutMs = 6000,
        MessageTimeoutMs = 6000,
        LingerMs = 1,
    }).SetLogHandler(static (_, _) => { }).SetErrorHandler(static (_, _) => { }).Build();

    private int _transactions;
    private int _values;

    /// <summary>Runs until it is stopped or cannot go on.</summary>
    public static Task RunAsync(TransactionOrder order, CancellationToken stop)
    {
        Librdkafka.Require();
        try
        {
            var program = new TransactionProgram(order, stop);
            program.Initialise();
            if (order.Role == "writer")
                program.Write();
            else
                program.Copy();
        }
        catch (KafkaException fatal)
        {
            Console.Out.WriteLine($"{order.Name} ends: {fatal.Error}");
            // What it holds is left behind, as by a crash: the librdkafka of a fenced producer closes at length.
            Environment.Exit(0);
        }
        return Task.CompletedTask;
    }

    /// <summary>A reader's configuration.</summary>
    public static ConsumerConfig Reader(string servers, string group) => new(Common(servers))
    {
        GroupId = group,
        IsolationLevel = KafkaIsolation.ReadCommitted,
        AutoOffsetReset = AutoOffsetReset.Earliest,
        EnableAutoCommit = false,
        EnableAutoOffsetStore = false,
        FetchWaitMaxMs = 100,
    };

    /// <summary>A record that a reader saw, as an event.</summary>
    public static TransactionEvent Saw(TransactionEventKind kind, string reader, ConsumeResult<Ignore, string> record) =>
        Event(kind, reader, record.Topic, record.Partition.Value, record.Offset.Value, record.Message.Value);

    private static ClientConfig Common(string servers) => new()
    {
        BootstrapServers = servers,
        SocketTimeoutMs = 4000,
        ReconnectBackoffMaxMs = 500,
    };

    private void Initialise()
    {
        var asked = Nanos();
        Retried(() => _producer.InitTransactions(Patience));
        Say(TransactionEventKind.Initialised, order.TransactionalId, order.Name, asked);
    }

    private void Write()
    {
        while (!stop.IsCancellationRequested)
        {
            var transaction = Begin();
            try
            {
                var count = _random.Next(10) == 0 ? 0 : 1 + _random.Next(4);
                for (var i = 0; i < count; i++)
                {
                    Send(transaction, TransactionRun.Source, "-");
                    Thread.Sleep(_random.Next(20));
                }
                End(transaction, _random.Next(4) > 0);
            }
            catch (KafkaException failed)
            {
                Abort(transaction, failed);
            }
            Thread.Sleep(_random.Next(40));
        }
        _producer.Dispose();
    }

    private void Copy()
    {
        using var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig(Reader(order.Servers, TransactionRun.Group))
        {
            SessionTimeoutMs = 6000,
            HeartbeatIntervalMs = 1000,
            PartitionAssignmentStrategy = PartitionAssignmentStrategy.Range,
            // Why a partition is not fetched is known nowhere else.
            Debug = "topic,fetch,cgrp",
        }).SetLogHandler(static (_, line) =>
        {
            Console.Out.WriteLine($"{LogMark}{line.Facility}: {line.Message}");
            s_isAstray |= line.Message.Contains(Astray, StringComparison.Ordinal);
        })
            .SetErrorHandler(static (_, failed) => Console.Out.WriteLine($"the consumer: {failed}"))
            // With a handler it rebalances within calls alone, and its generation is that of the records.
            .SetPartitionsRevokedHandler(static (_, revoked) => Console.Out.WriteLine($"revoked: {string.Join(' ', revoked)}"))
            .Build();
        consumer.Subscribe(TransactionRun.Source);
        while (!stop.IsCancellationRequested)
        {
            if (s_isAstray)
            {
                Console.Out.WriteLine($"{order.Name} ends: {Astray}, librdkafka#5593");
                Environment.Exit(0);
            }
            var polled = Poll(consumer);
            if (polled.Count == 0)
                continue;
            var transaction = Begin();
            try
            {
                foreach (var record in polled)
                    Send(transaction, TransactionRun.Output, record.Message.Value);
                var next = polled.GroupBy(static record => record.TopicPartition)
                    .Select(static partition => new KafkaOffset(partition.Key, partition.Max(static record => record.Offset.Value) + 1));
                Retried(() => SendOffsets(next, consumer.ConsumerGroupMetadata));
                if (!End(transaction, _random.Next(5) > 0))
                    ReturnTo(consumer);
            }
            catch (KafkaException failed)
            {
                Abort(transaction, failed);
                ReturnTo(consumer);
            }
        }
        consumer.Close();
        _producer.Dispose();
    }

    private void SendOffsets(IEnumerable<KafkaOffset> next, IConsumerGroupMetadata group)
    {
        using var hung = new Timer(_ =>
        {
            Console.Out.WriteLine($"{order.Name} ends: it waits for a coordinator that is gone, librdkafka#5511");
            Environment.Exit(0);
        }, null, Hung, Timeout.InfiniteTimeSpan);
        _producer.SendOffsetsToTransaction(next, group, Patience);
    }

    private List<ConsumeResult<Ignore, string>> Poll(IConsumer<Ignore, string> consumer)
    {
        var polled = new List<ConsumeResult<Ignore, string>>();
        while (polled.Count < PolledAtOnce && consumer.Consume(polled.Count == 0 ? 200 : 0) is { } record)
        {
            Write(Saw(TransactionEventKind.Polled, order.Name, record));
            polled.Add(record);
        }
        // Records from before a rebalance within these calls belong to another member now.
        return [.. polled.Where(record => consumer.Assignment.Contains(record.TopicPartition))];
    }

    // Back to what the group has committed.
    private static void ReturnTo(IConsumer<Ignore, string> consumer)
    {
        foreach (var committed in consumer.Committed(consumer.Assignment, TimeSpan.FromSeconds(60)))
        {
            consumer.Seek(committed.Offset == Offset.Unset ? new KafkaOffset(committed.TopicPartition, Offset.Beginning) : committed);
        }
    }

    private string Begin()
    {
        _producer.BeginTransaction();
        return string.Create(CultureInfo.InvariantCulture, $"{order.Name}/{_transactions++}");
    }

    private void Send(string transaction, string topic, string source)
    {
        var partition = _random.Next(TransactionRun.Partitions);
        var value = string.Create(CultureInfo.InvariantCulture, $"{order.Name}:{_values++}");
        Say(TransactionEventKind.Sending, transaction, topic, partition, value, source);
        _producer.Produce(new KafkaPartition(topic, partition), new Message<Null, string> { Value = value }, stored =>
        {
            if (!stored.Error.IsError)
                Say(TransactionEventKind.Stored, topic, partition, stored.Offset.Value, value);
        });
    }

    private bool End(string transaction, bool commits)
    {
        var end = commits ? "Commit" : "Abort";
        if (!commits)
            Thread.Sleep(_random.Next(20));
        Say(TransactionEventKind.Asking, transaction, end);
        Retried(() =>
        {
            if (commits)
                _producer.CommitTransaction(Patience);
            else
                _producer.AbortTransaction(Patience);
        });
        Say(TransactionEventKind.Ended, transaction, end);
        return commits;
    }

    private void Abort(string transaction, KafkaException failed)
    {
        if (failed.Error.IsFatal)
            throw failed;
        Console.Out.WriteLine($"{transaction} is aborted: {failed.Error}");
        End(transaction, commits: false);
    }

    // The same request again: another one is not allowed before its outcome is known.
    private void Retried(Action request)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                request();
                return;
            }
            catch (KafkaRetriableException) when (attempt < Attempts && !stop.IsCancellationRequested)
            {
                // Once more.
            }
        }
    }

    private static void Say(TransactionEventKind kind, params object[] words) => Write(Event(kind, words));

    /// <summary>What is known or said now, as an event.</summary>
    public static TransactionEvent Event(TransactionEventKind kind, params object[] words) =>
        new(kind, Nanos(), [.. words.Select(static word => Convert.ToString(word, CultureInfo.InvariantCulture)!)]);

    /// <summary>The time of the machine's one monotonic clock.</summary>
    public static long Nanos() => Stopwatch.GetTimestamp() * (1_000_000_000 / Stopwatch.Frequency);

    // The console is locked and flushed: what was said is known although the process is killed.
    private static void Write(TransactionEvent said) => Console.Out.WriteLine(said.ToLine());
}
