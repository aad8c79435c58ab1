using System.Collections.Concurrent;
using Npgsql;
using OrleansMq.Client;
using OrleansMq.Client.PostgreSql;
using OrleansMq.Testing;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.PostgreSql.Consuming;

/// <summary>Consumers that write to a database, over a real broker. Each record takes effect exactly once, whatever happens to the
/// consumers.</summary>
public sealed class ExactlyOnceTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>, IAsyncLifetime
{
    private const string Topic = "orders";

    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        await _broker.Client.Admin.CreateTopicAsync(Topic, 3);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    private static ConsumerOptions Options { get; } = new()
    {
        GroupId = "billing",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        AutoCommitInterval = TimeSpan.FromMilliseconds(20),
    };

    private async Task<NpgsqlDataSource> DatabaseAsync()
    {
        var database = NpgsqlDataSource.Create(await postgres.DatabaseAsync());
        await ConsumerTables.CreateAsync(database);
        await using var command = database.CreateCommand("CREATE TABLE bill (number integer NOT NULL)");
        await command.ExecuteNonQueryAsync();
        return database;
    }

    private async Task SendAsync(int count)
    {
        await using var producer = _broker.Client.CreateProducer<int, int>();
        for (var i = 0; i < count; i++)
            await producer.EnqueueAsync(new(Topic, i, i) { Headers = RecordSequence.Headers("till 3", i) });
    }

    private static async Task<List<int>> BillsAsync(NpgsqlDataSource database)
    {
        await using var command = database.CreateCommand("SELECT number FROM bill ORDER BY number");
        await using var reader = await command.ExecuteReaderAsync();
        var bills = new List<int>();
        while (await reader.ReadAsync())
            bills.Add(reader.GetInt32(0));
        return bills;
    }

    private static async Task BillAsync(NpgsqlTransaction transaction, int number)
    {
        await using var command = new NpgsqlCommand("INSERT INTO bill (number) VALUES ($1)", transaction.Connection, transaction);
        command.Parameters.Add(new NpgsqlParameter { Value = number });
        await command.ExecuteNonQueryAsync();
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await condition())
        {
            Assert.False(deadline.IsCancellationRequested, $"Waited for: {what}.");
            await Task.Delay(5);
        }
    }

    [SkippableFact]
    public async Task Handlers_killed_before_and_after_their_commit_bill_each_order_once()
    {
        const int Count = 400;
        await using var database = await DatabaseAsync();
        var inbox = new PostgresInbox("billing");
        var sequences = new PostgresSequences("billing");
        await SendAsync(Count);
        var random = new Random(1);
        var handled = new ConcurrentQueue<int>();
        async ValueTask Handle(ConsumeResult<int, int> record, CancellationToken cancellationToken)
        {
            bool dies;
            lock (random)
                dies = random.Next(10) == 0;
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            if (await inbox.TryAddAsync(transaction, record, cancellationToken))
            {
                await BillAsync(transaction, record.Value);
                Assert.True(RecordSequence.TryRead(record.Headers, out var source, out var number));
                await sequences.CheckAsync(transaction, source, number, cancellationToken: cancellationToken);
            }
            if (dies && record.Value % 2 == 0)
                throw new IOException("before the commit");
            await transaction.CommitAsync(cancellationToken);
            handled.Enqueue(record.Value);
            if (dies)
                throw new IOException("after the commit");
        }
        var handling = new MessageHandlingOptions
        {
            Topics = [Topic],
            Parallelism = HandlingParallelism.Key,
            Retry = new RetryPolicy { MaxAttempts = 20, Backoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(5) },
        };
        // Without a commit the second consumer gets the first one's records again.
        await using (var first = _broker.Client.CreateProcessor<int, int>(Options with { AutoCommit = false }, handling, Handle))
        {
            first.Start();
            await UntilAsync(() => Task.FromResult(handled.Count > Count / 2), "half of them");
        }
        await using (var second = _broker.Client.CreateProcessor<int, int>(Options, handling, Handle))
        {
            second.Start();
            await UntilAsync(() => Task.FromResult(second.Statistics.Handled == Count), "all of them");
        }
        Assert.Equal(Enumerable.Range(0, Count), await BillsAsync(database));
        Assert.Empty(await sequences.FindGapsAsync(database));
        Assert.True(handled.Count > Count, "some came twice");
    }

    [SkippableFact]
    public async Task Offsets_stored_with_the_data_are_the_start_of_the_next_consumer()
    {
        await using var database = await DatabaseAsync();
        await SendAsync(60);
        for (var round = 0; round < 3; round++)
        {
            var offsets = new PostgresOffsets(database, "billing");
            await using var consumer =
                _broker.Client.CreateConsumer<int, int>(Options with { AutoCommit = false, RebalanceListener = offsets });
            consumer.Subscribe(Topic);
            for (var i = 0; i < 20; i++)
            {
                var record = await consumer.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
                await using var connection = await database.OpenConnectionAsync();
                await using var transaction = await connection.BeginTransactionAsync();
                await BillAsync(transaction, record.Value);
                await offsets.StoreAsync(transaction, record);
                await transaction.CommitAsync();
            }
        }
        Assert.Equal(Enumerable.Range(0, 60), await BillsAsync(database));
    }

    [SkippableFact]
    public async Task Partition_is_claimed_when_a_demoted_primary_accepts_writes_again()
    {
        var connectionString = await postgres.DatabaseAsync();
        var builder = new NpgsqlDataSourceBuilder(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        var (isReadOnly, attempts) = (false, 0);
        builder.UsePhysicalConnectionInitializer(Initialize, connection =>
        {
            Initialize(connection);
            return Task.CompletedTask;
        });
        await using var database = builder.Build();
        await ConsumerTables.CreateAsync(database);
        await SendAsync(3);
        (isReadOnly, attempts) = (true, 0);
        await using var consumer = _broker.Client.CreateConsumer<int, int>(Options with
        {
            AutoCommit = false,
            RebalanceListener = new PostgresOffsets(database, "billing"),
        });
        consumer.Subscribe(Topic);
        var record = await consumer.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(Topic, record.TopicPartition.Topic);
        Assert.True(attempts > 1, "the first claim is refused");

        // The first connection is one of a primary that was demoted.
        void Initialize(NpgsqlConnection connection)
        {
            if (isReadOnly && Interlocked.Increment(ref attempts) == 1)
            {
                using var command = new NpgsqlCommand("SET default_transaction_read_only = on", connection);
                command.ExecuteNonQuery();
            }
        }
    }

    [SkippableFact]
    public async Task Commit_with_an_unknown_outcome_bills_once_and_its_partition_continues()
    {
        const int Count = 30;
        await using var database = await DatabaseAsync();
        await SendAsync(Count);
        var offsets = new PostgresOffsets(database, "billing");
        async ValueTask Handle(ConsumeResult<int, int> record, CancellationToken cancellationToken)
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            await BillAsync(transaction, record.Value);
            await offsets.StoreAsync(transaction, record, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            if (record.Value % 3 == 0)
                throw new IOException("the response to the commit was lost");
        }
        var options = Options with { AutoCommit = false, RebalanceListener = offsets };
        await using (var processor = _broker.Client.CreateProcessor<int, int>(options, new MessageHandlingOptions
        {
            Topics = [Topic],
            Retry = new RetryPolicy { MaxAttempts = 3, Backoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(5) },
        }, Handle))
        {
            processor.Start();
            await UntilAsync(() => Task.FromResult(processor.Statistics.Handled == Count || processor.Stopped.Count > 0), "all of them");
            Assert.Empty(processor.Stopped);
            Assert.Equal(0, processor.Statistics.DeadLettered);
        }
        Assert.Equal(Enumerable.Range(0, Count), await BillsAsync(database));
    }

    [SkippableFact]
    public async Task Consumer_whose_partition_was_taken_over_cannot_store()
    {
        await using var database = await DatabaseAsync();
        await SendAsync(3);
        var (zombie, heir) = (new PostgresOffsets(database, "billing"), new PostgresOffsets(database, "billing"));
        await using var consumer = _broker.Client.CreateConsumer<int, int>(Options with { AutoCommit = false, RebalanceListener = zombie });
        consumer.Subscribe(Topic);
        var record = await consumer.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));

        await using var connection = await database.OpenConnectionAsync();
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await zombie.StoreAsync(transaction, record);
            // The new owner waits for running transactions, and starts after them.
            var takeover = Task.Run(() => heir.OnAssignedAsync(consumer, [record.TopicPartition], default).AsTask());
            await InboxTests.WaitForLockAsync(database);
            Assert.False(takeover.IsCompleted);
            await transaction.CommitAsync();
            await takeover;
        }
        Assert.Equal(record.Offset + 1, await consumer.GetPositionAsync(record.TopicPartition));
        var next = record with { Offset = record.Offset + 1 };
        await using (var transaction = await connection.BeginTransactionAsync())
            await Assert.ThrowsAsync<CommitFencedException>(() => zombie.StoreAsync(transaction, next));
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            // The takeover has completed with the record done.
            await Assert.ThrowsAsync<RecordAlreadyDoneException>(() => heir.StoreAsync(transaction, record));
            await Assert.ThrowsAsync<CommitFencedException>(() => zombie.StoreAsync(transaction, record));
            await heir.StoreAsync(transaction, next);
            await transaction.CommitAsync();
        }
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            // Out of order: its effects were not committed with an offset of their own, so it does not count as done.
            await Assert.ThrowsAsync<CommitFencedException>(() => heir.StoreAsync(transaction, record));
            await Assert.ThrowsAsync<RecordAlreadyDoneException>(() => heir.StoreAsync(transaction, next));
        }
    }
}
