using System.Runtime.CompilerServices;
using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Transactions;
using OrleansMq.Tests.Shared;
using LogTransactions = OrleansMq.Tests.Shared.LoggedTransactions;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Transactions by Apache Kafka's client, of which each has an epoch of its own, and by librdkafka, whose all have one; if
/// installed.</summary>
public sealed class TransactionClientTests : IAsyncLifetime
{
    private KafkaServer _server = null!;
    private RecordedCoordinator _coordinator = null!;

    public async Task InitializeAsync() => _server = await KafkaServer.StartAsync(wrap: broker =>
        new TransactionalBroker(broker, _coordinator = new RecordedCoordinator(broker.Transactions)));

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableFact]
    public async Task Java_commits_aborts_is_fenced_and_ends_what_hangs()
    {
        var said = await ClientProgram.JavaAsync(Program(), [_server.Address]);
        Assert.Equal(["level 2", "committed [a, b, d]", "all [a, b, c, d]", "many 23 44", "open Ongoing [orders-0] true",
            "listed 1 true false", "fenced ProducerFencedException", "aborted false", "ended false", "after true true false false"],
            said.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.All(_coordinator.Requests.OfType<AddToTransaction>(), static asked => Assert.True(asked is
            { RaisesEpoch: true, VerifyOnly: false, Partitions.Count: > 0 }));
        Assert.All(_coordinator.Requests.OfType<EndTransaction>(), static asked => Assert.True(asked.RaisesEpoch));
        Assert.Empty(_server.Log.Lines);
    }

    [SkippableFact]
    public async Task Librdkafka_commits_aborts_and_is_fenced()
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
        using var producer = Producer();
        producer.InitTransactions(KafkaServer.Patience);
        for (var number = 0; number < 10; number++)
        {
            producer.BeginTransaction();
            producer.Produce(new KafkaPartition("orders", 0), new Message<Null, string> { Value = $"a{number}" });
            producer.Produce(new KafkaPartition("orders", 1), new Message<Null, string> { Value = $"b{number}" });
            Assert.Equal(0, producer.Flush(KafkaServer.Patience));
            if (number % 2 == 0)
                producer.CommitTransaction();
            else
                producer.AbortTransaction();
        }
        // Each partition is verified once in each transaction: by one question, or by two.
        Assert.InRange(_coordinator.Requests.OfType<AddToTransaction>().Count(static asked => asked.VerifyOnly), 10, 20);
        Assert.All(_coordinator.Requests.OfType<AddToTransaction>(), static asked => Assert.False(asked.RaisesEpoch));
        Assert.Equal(["a0", "a2", "a4", "a6", "a8", "b0", "b2", "b4", "b6", "b8"], Read(Confluent.Kafka.IsolationLevel.ReadCommitted));
        Assert.Equal(20, Read(Confluent.Kafka.IsolationLevel.ReadUncommitted).Count);

        producer.BeginTransaction();
        await producer.ProduceAsync(new KafkaPartition("orders", 0), new Message<Null, string> { Value = "lost" });
        using var other = Producer();
        other.InitTransactions(KafkaServer.Patience);
        var fenced = Assert.ThrowsAny<KafkaException>(() => producer.CommitTransaction(KafkaServer.Patience));
        Assert.True(fenced.Error.IsFatal, fenced.Message);
        Assert.DoesNotContain("lost", Read(Confluent.Kafka.IsolationLevel.ReadCommitted));
        Assert.Empty(_server.Log.Lines);
    }

    [SkippableFact]
    public async Task Kafka_transactions_lists_describes_finds_what_hangs_and_aborts_it()
    {
        ClientProgram.RequireKafka();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders"));
        Assert.True(_server.Broker.TryGet(new TopicPartition("orders", 0), out var partition));
        // No coordinator knows its producer.
        LogTransactions.Append(partition, DateTimeOffset.UtcNow.AddHours(-1).ToUnixTimeMilliseconds(), 7000, 0, "hanging");
        var given = await _coordinator.SendAsync(new InitTransactions { TransactionalId = "tx", Timeout = TimeSpan.FromMinutes(1) });
        await _coordinator.SendAsync(new AddToTransaction
        {
            TransactionalId = "tx",
            Producer = given.Producer,
            Partitions = [new("orders", 0, partition.TopicId)],
        });

        Assert.Matches(@"(?m)^tx\s+0\s+\d+\s+Ongoing\s*$", await RunAsync("list"));
        Assert.Matches($@"(?m)^0\s+tx\s+{given.Producer.ProducerId}\s+0\s+Ongoing\s+60000\s.*orders-0\s*$",
            await RunAsync("describe", "--transactional-id", "tx"));
        Assert.Matches(@"(?m)^7000\s+0\s+-1\s+0\s+\d+\s+0\s*$",
            await RunAsync("describe-producers", "--topic", "orders", "--partition", "0"));
        Assert.Matches(@"(?m)^orders\s+0\s+7000\s+0\s+-1\s+0\s+\d+\s+\d+\s*$", await RunAsync("find-hanging", "--topic", "orders"));
        Assert.Equal(0, partition.LastStableOffset);
        await RunAsync("abort", "--topic", "orders", "--partition", "0", "--start-offset", "0");
        Assert.Equal(2, partition.LastStableOffset);
        Assert.DoesNotContain("7000", await RunAsync("find-hanging", "--topic", "orders"), StringComparison.Ordinal);

        Task<string> RunAsync(params string[] arguments) =>
            ClientProgram.JavaAsync("org.apache.kafka.tools.TransactionsCommand", ["--bootstrap-server", _server.Address, .. arguments]);
    }

    private IProducer<Null, string> Producer() => new ProducerBuilder<Null, string>(new ProducerConfig
    {
        BootstrapServers = _server.Address,
        TransactionalId = "tx",
        LingerMs = 1,
    }).SetLogHandler(static (_, _) => { }).Build();

    private List<string> Read(Confluent.Kafka.IsolationLevel isolation)
    {
        using var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig
        {
            BootstrapServers = _server.Address,
            GroupId = "unused",
            EnablePartitionEof = true,
            IsolationLevel = isolation,
        }).Build();
        consumer.Assign([new TopicPartitionOffset("orders", 0, Offset.Beginning), new TopicPartitionOffset("orders", 1, Offset.Beginning)]);
        var read = new List<string>();
        for (var ended = 0; ended < 2;)
        {
            var next = consumer.Consume(KafkaServer.Patience);
            Assert.True(next is not null, "Nothing came.");
            if (next!.IsPartitionEOF)
                ended++;
            else
                read.Add(next.Message.Value);
        }
        read.Sort(StringComparer.Ordinal);
        return read;
    }

    private static string Program([CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "Java", "TransactionalProducer.java");
}
