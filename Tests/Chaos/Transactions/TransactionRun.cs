using System.Diagnostics;
using System.Globalization;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Verification;
using KafkaPartition = Confluent.Kafka.TopicPartition;
using KafkaIsolation = Confluent.Kafka.IsolationLevel;
using KafkaOffset = Confluent.Kafka.TopicPartitionOffset;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>A run of transactions: writers write to a topic, copiers of a group copy it into another, and readers read both, while brokers,
/// clients and the requests between them are broken. In the end nothing may be open, and the history must be right.</summary>
internal sealed class TransactionRun(IBrokersUnderTest brokers, RunLog log, int seed, string directory)
{
    /// <summary>The topic of the writers.</summary>
    public const string Source = "source";
    /// <summary>The topic of the copies.</summary>
    public const string Output = "output";
    /// <summary>The group of the copiers.</summary>
    public const string Group = "copiers";
    /// <summary>The partitions of each topic.</summary>
    public const int Partitions = 3;

    /// <summary>All topics.</summary>
    public static readonly IReadOnlyList<string> Topics = [Source, Output];

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    // The transactions' timeout, the longest time until a coordinator looks at it, and a busy machine.
    private static readonly TimeSpan OpenPatience = TimeSpan.FromSeconds(60);

    private static IEnumerable<KafkaPartition> AllPartitions =>
        Topics.SelectMany(static topic => Enumerable.Range(0, Partitions).Select(partition => new KafkaPartition(topic, partition)));

    public Violations Violations { get; } = new();

    /// <summary>Breaks things for a while, waits for recovery, and judges. Returns the figures.</summary>
    public async Task<string> RunAsync(TimeSpan length, CancellationToken cancellationToken)
    {
        Violations.Found += violation => log.Tell($"VIOLATION {violation}");
        await TransactionTopics.CreateAsync(brokers.Servers, Topics, Partitions, brokers.Replicas);
        await brokers.WellAsync(cancellationToken);
        var history = new TransactionHistory(Violations);
        var told = new AdminHistory(Violations, TransactionFleet.HasOwnEpochs);
        await using var fleet = new TransactionFleet(brokers.Servers, Take, log, seed, directory);
        using var readers = new CancellationTokenSource();
        var reading = Task.Run(() => Read(Take, readers.Token), CancellationToken.None);
        var asking = brokers.Transactions is { } api ? new TransactionAsker(api, Take, log).RunAsync(fleet.Ids, readers.Token)
            : Task.CompletedTask;
        log.Tell($"seed {seed}: load begins");
        await fleet.StartAsync();
        using (var time = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
        {
            time.CancelAfter(length);
            var clients = fleet.BreakAsync(time.Token);
            await brokers.BreakAsync(seed, time.Token, cancellationToken);
            await clients;
        }
        log.Tell("calm");
        await brokers.WellAsync(cancellationToken);
        await ShownAsync(history, fleet, cancellationToken);
        await fleet.StopAsync("writer");
        await NothingOpenAsync(Source, cancellationToken);
        await CopiedAsync(fleet, cancellationToken);
        await fleet.StopAsync("copier");
        await NothingOpenAsync(Output, cancellationToken);
        await NothingToldOpenAsync(told, cancellationToken);
        await fleet.StopAdministratorAsync();
        await readers.CancelAsync();
        await Task.WhenAll(reading, asking);

        await fleet.ScanAsync("kafka-clients");
        var committed = Scan(KafkaIsolation.ReadCommitted);
        var all = Scan(KafkaIsolation.ReadUncommitted);
        history.Judge(committed, all);
        history.JudgeCopies(Source, committed, GroupOffsets());
        told.Judge();
        var figures = string.Create(CultureInfo.InvariantCulture, $"figures: seed {seed}; {brokers.Faults}; clients: {fleet.Faults}; "
            + $"{history.Committed} transactions committed, {history.NotCommitted} not, {history.Unclear} unclear, of {history.Instances} "
            + $"producers; {committed.Count} of {all.Count} records committed; told: {told.Figures}");
        log.Tell(figures);
        // Otherwise a reader that takes everything for committed would be right.
        Assert.True(committed.Count < all.Count, figures);
        Assert.True(told.Ends > 0 && (brokers.Transactions is null || told.Numbered > 0), $"Too little was told to judge it. {figures}");
        return figures;

        void Take(TransactionEvent seen)
        {
            history.Take(seen);
            told.Take(seen);
        }
    }

    // A busy machine has not done enough yet to show something.
    private async Task ShownAsync(TransactionHistory history, TransactionFleet fleet, CancellationToken cancellationToken)
    {
        var began = Stopwatch.StartNew();
        while (history is not { Committed: >= 30, NotCommitted: >= 10 })
        {
            Assert.False(began.Elapsed > OpenPatience, $"Clients go no further than {history.Committed} transactions.");
            fleet.ReplaceEnded();
            await Task.Delay(200, cancellationToken);
        }
    }

    // Reads everything committed from the start until it is stopped.
    private void Read(Action<TransactionEvent> take, CancellationToken stop)
    {
        using var consumer = Consumer(TransactionProgram.Reader(brokers.Servers, "unused"));
        consumer.Assign(AllPartitions.Select(static partition => new KafkaOffset(partition, Offset.Beginning)));
        while (!stop.IsCancellationRequested)
        {
            if (TryConsume(consumer) is { IsPartitionEOF: false } record)
                take(TransactionProgram.Saw(TransactionEventKind.Read, "librdkafka", record));
        }
    }

    // A broker that is away is no end.
    private ConsumeResult<Ignore, string>? TryConsume(IConsumer<Ignore, string> consumer)
    {
        try
        {
            return consumer.Consume(100);
        }
        catch (ConsumeException failed) when (!failed.Error.IsFatal)
        {
            log.Note($"the reader: {failed.Error}");
            return null;
        }
    }

    // A topic without an open transaction ends where its committed records end.
    private async Task NothingOpenAsync(string topic, CancellationToken cancellationToken)
    {
        using var committed = Consumer(TransactionProgram.Reader(brokers.Servers, "unused"));
        using var all = Consumer(new ConsumerConfig(TransactionProgram.Reader(brokers.Servers, "unused"))
        {
            IsolationLevel = KafkaIsolation.ReadUncommitted,
        });
        var began = Stopwatch.StartNew();
        while (true)
        {
            var open = AllPartitions.Where(partition => partition.Topic == topic)
                .Select(partition => (partition, Stable: EndOf(committed, partition), High: EndOf(all, partition)))
                .Where(static ends => ends.Stable is null || ends.Stable != ends.High).ToList();
            if (open.Count == 0)
                return;
            Assert.False(began.Elapsed > OpenPatience, $"For {OpenPatience.TotalSeconds} s these stay open: "
                + string.Join(", ", open.Select(static ends => $"{ends.partition} at {ends.Stable} of {ends.High}")));
            await Task.Delay(200, cancellationToken);
        }
    }

    // So do administrators say, of partitions and of transactional ids.
    private async Task NothingToldOpenAsync(AdminHistory told, CancellationToken cancellationToken)
    {
        var (since, began) = (TransactionProgram.Nanos(), Stopwatch.StartNew());
        while (true)
        {
            var open = told.FindOpen(since, AllPartitions.Select(static partition => (partition.Topic, partition.Partition.Value)));
            if (open.Count == 0)
                return;
            if (began.Elapsed > OpenPatience)
            {
                foreach (var what in open)
                    Violations.Report(ViolationKind.LeftOpen, $"{OpenPatience.TotalSeconds} s after all clients had ended, {what}.");
                return;
            }
            await Task.Delay(200, cancellationToken);
        }
    }

    private long? EndOf(IConsumer<Ignore, string> consumer, KafkaPartition partition)
    {
        try
        {
            return consumer.QueryWatermarkOffsets(partition, Patience).High.Value;
        }
        catch (KafkaException failed) when (!failed.Error.IsFatal)
        {
            log.Note($"the end of {partition}: {failed.Error}");
            return null;
        }
    }

    private async Task CopiedAsync(TransactionFleet fleet, CancellationToken cancellationToken)
    {
        var last = Scan(KafkaIsolation.ReadCommitted).Where(static record => record.Place.Topic == Source)
            .GroupBy(static record => record.Place.Partition)
            .ToDictionary(static partition => partition.Key, static partition => partition.Max(static record => record.Place.Offset));
        var began = Stopwatch.StartNew();
        while (true)
        {
            fleet.ReplaceEnded();
            var next = GroupOffsets();
            var behind = last.Where(partition => next[partition.Key] <= partition.Value).ToList();
            if (behind.Count == 0)
                return;
            if (began.Elapsed > OpenPatience * 2)
            {
                var left = behind.Select(partition => $"{Source}-{partition.Key} at {next[partition.Key]} of {partition.Value}");
                Assert.Fail($"The group does not get to the end: {string.Join(", ", left)}\n{await MembersAsync()}\n"
                    + $"{await fleet.DescribeAsync("copier")}");
            }
            await Task.Delay(300, cancellationToken);
        }
    }

    private Dictionary<int, long> GroupOffsets()
    {
        using var consumer = Consumer(TransactionProgram.Reader(brokers.Servers, Group));
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                return consumer.Committed(AllPartitions.Where(static partition => partition.Topic == Source), Patience)
                    .ToDictionary(static partition => partition.Partition.Value, static partition => partition.Offset.Value);
            }
            catch (KafkaException failed) when (!failed.Error.IsFatal && attempt < 3)
            {
                log.Note($"the group's offsets: {failed.Error}");
            }
        }
    }

    // What the brokers know of the group, for a message.
    private async Task<string> MembersAsync()
    {
        using var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = brokers.Servers })
            .SetLogHandler(static (_, _) => { }).SetErrorHandler(static (_, _) => { }).Build();
        var groups = await admin.DescribeConsumerGroupsAsync([Group], new DescribeConsumerGroupsOptions { RequestTimeout = Patience });
        return string.Join('\n', groups.ConsumerGroupDescriptions.Select(static group => $"{group.GroupId} is {group.State}: "
            + string.Join("; ", group.Members.Select(static member => $"{member.ConsumerId} of {member.ClientId} at {member.Host} has "
                + string.Join(',', member.Assignment.TopicPartitions)))));
    }

    private List<(Place Place, string Value)> Scan(KafkaIsolation isolation)
    {
        using var consumer = Consumer(new ConsumerConfig(TransactionProgram.Reader(brokers.Servers, "unused"))
        {
            IsolationLevel = isolation,
            EnablePartitionEof = true,
        });
        consumer.Assign(AllPartitions.Select(static partition => new KafkaOffset(partition, Offset.Beginning)));
        var (read, ended, waited) = (new List<(Place Place, string Value)>(), new HashSet<KafkaPartition>(), Stopwatch.StartNew());
        while (ended.Count < Topics.Count * Partitions)
        {
            Assert.True(waited.Elapsed < OpenPatience, $"A reader got no further than {read.Count} records.");
            if (TryConsume(consumer) is not { } record)
                continue;
            waited.Restart();
            if (record.IsPartitionEOF)
                ended.Add(record.TopicPartition);
            else
                read.Add((new Place(record.Topic, record.Partition.Value, record.Offset.Value), record.Message.Value));
        }
        return [.. read.OrderBy(static record => record.Place)];
    }

    private static IConsumer<Ignore, string> Consumer(ConsumerConfig config) => new ConsumerBuilder<Ignore, string>(config)
        .SetLogHandler(static (_, _) => { }).SetErrorHandler(static (_, _) => { }).Build();
}
