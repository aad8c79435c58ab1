using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Client.PostgreSql;
using OrleansMq.Testing;
using OrleansMq.Tests.Client;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.PostgreSql.Outbox;

/// <summary>Outboxes in a real database, over a real broker.</summary>
public sealed class PostgresOutboxTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>, IAsyncLifetime
{
    private const string Topic = "orders";

    private static readonly PostgresOutbox s_outbox = new();

    private static readonly PostgresOutboxOptions s_options = new()
    {
        PollInterval = TimeSpan.FromMilliseconds(20),
        MaxRetryDelay = TimeSpan.FromMilliseconds(50),
    };

    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        await _broker.Client.Admin.CreateTopicAsync(Topic, 1);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    private async Task<NpgsqlDataSource> DatabaseAsync()
    {
        var database = NpgsqlDataSource.Create(await postgres.DatabaseAsync());
        await OutboxTables.CreateAsync(database);
        return database;
    }

    private Running Start(NpgsqlDataSource database, PostgresOutboxOptions? options = null, IBroker? broker = null, ILogger? log = null)
    {
        var stop = new CancellationTokenSource();
        var relay = new OutboxRelay(broker ?? _broker.Broker, database, options ?? s_options, TimeProvider.System,
            log ?? NullLogger.Instance);
        return new Running(stop, Task.Run(() => relay.RunAsync(stop.Token)));
    }

    private sealed class Running(CancellationTokenSource stop, Task task) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await stop.CancelAsync();
            await task;
            stop.Dispose();
        }
    }

    [SkippableFact]
    public async Task Record_that_comes_again_is_in_the_inbox_and_its_messages_in_the_outbox_of_one_transaction_once()
    {
        const int Orders = 30;
        await using var database = await DatabaseAsync();
        await ConsumerTables.CreateAsync(database);
        await _broker.Client.Admin.CreateTopicAsync("bills", 1);
        await using (var setup = database.CreateCommand("CREATE TABLE bill (item text NOT NULL)"))
            await setup.ExecuteNonQueryAsync();
        await using var running = Start(database);
        await using var producer = _broker.Client.CreateProducer<string, string>();
        for (var order = 0; order < Orders; order++)
            await producer.SendAsync(new(Topic, $"{order % 3}", $"order {order}"));
        var orders = await ReadAsync(Orders);
        // Each record comes three times: its first transaction fails after both writes, its second one commits, and the third finds it.
        var outcomes = new List<(bool IsNew, bool IsCommitted)>();
        foreach (var commits in (bool[])[false, true, true])
        {
            // Two consumers have it at the same time, as when the lock of one has ended.
            foreach (var handled in await Task.WhenAll(orders.Select(order => BillAsync(order, commits))
                .Concat(commits ? orders.Select(order => BillAsync(order, commits)) : [])))
                outcomes.Add((handled, commits));
        }
        Assert.Equal((Orders, Orders),
            (outcomes.Count(static one => one is (true, false)), outcomes.Count(static one => one is (true, true))));

        var bills = await ReadAsync(Orders, "bills");
        // What comes behind all of them shows that there are no more.
        await AddAsync(database, ["the last one"], topic: "bills");
        bills = await ReadAsync(Orders + 1, "bills");
        Assert.Equal("the last one", bills[^1].Value);
        Assert.Equal(Enumerable.Range(0, Orders).Select(static order => $"bill of order {order}").Order(StringComparer.Ordinal),
            bills.SkipLast(1).Select(static bill => bill.Value).Order(StringComparer.Ordinal));
        await using var count = database.CreateCommand("SELECT count(*), count(DISTINCT item) FROM bill");
        await using var counted = await count.ExecuteReaderAsync();
        Assert.True(await counted.ReadAsync());
        Assert.Equal((Orders, Orders), ((int)counted.GetInt64(0), (int)counted.GetInt64(1)));

        async Task<bool> BillAsync(ConsumeResult<string, string> order, bool commits)
        {
            await using var connection = await database.OpenConnectionAsync();
            await using var transaction = await connection.BeginTransactionAsync();
            if (!await new PostgresInbox("billing").TryAddAsync(transaction, order))
                return false;
            await using var insert = new NpgsqlCommand("INSERT INTO bill VALUES ($1)", connection, transaction);
            insert.Parameters.Add(new NpgsqlParameter { Value = order.Value });
            await insert.ExecuteNonQueryAsync();
            await s_outbox.AddAsync(transaction, "bills", order.Key, $"bill of {order.Value}");
            if (commits)
                await transaction.CommitAsync();
            return true;
        }
    }

    private static async Task AddAsync(NpgsqlDataSource database, IEnumerable<string> values, bool commits = true, string topic = Topic,
        string key = "ada")
    {
        await using var connection = await database.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        foreach (var value in values)
            await s_outbox.AddAsync(transaction, topic, key, value);
        if (commits)
            await transaction.CommitAsync();
    }

    private async Task<List<ConsumeResult<string, string>>> ReadAsync(int count, string topic = Topic, int partition = 0)
    {
        await using var reader = _broker.Client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition(topic, partition), ReadFrom.Earliest);
        var records = new List<ConsumeResult<string, string>>();
        while (records.Count < count)
            records.Add(await reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60)));
        return records;
    }

    private async Task<List<string>> ValuesAsync(int count, string topic = Topic) =>
        (await ReadAsync(count, topic)).ConvertAll(static record => record.Value);

    private static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await condition())
        {
            Assert.False(deadline.IsCancellationRequested, $"Waited for: {what}.");
            await Task.Delay(5);
        }
    }

    private static Task UntilEmptyAsync(NpgsqlDataSource database) =>
        UntilAsync(async () => (await s_outbox.GetStatusAsync(database)).Pending == 0, "an empty outbox");

    [SkippableFact]
    public async Task Committed_messages_are_delivered_and_those_of_a_rollback_are_not()
    {
        await using var database = await DatabaseAsync();
        await using var relay = Start(database);
        await AddAsync(database, ["a", "b"]);
        await AddAsync(database, ["never"], commits: false);
        await using (var connection = await database.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            await s_outbox.AddAsync(transaction, new ProducerRecord<string, string?>(Topic, "ada", null)
            {
                Headers = new[] { RecordHeaders.Text("trace", "7"), RecordHeaders.Text("empty", null) },
                Timestamp = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_123),
                MessageId = "order 7",
            });
            await transaction.CommitAsync();
        }
        var records = await ReadAsync(3);
        Assert.Equal(["a", "b", null], records.Select(static record => record.Value));
        Assert.All(records, static record => Assert.Equal("ada", record.Key));
        Assert.Equal(["trace=7", "empty=", "omq.message-id=order 7"],
            records[2].Headers.Select(static header => $"{header.Name()}={header.TextValue()}"));
        Assert.Equal(1_700_000_000_123, records[2].Timestamp);
        await UntilEmptyAsync(database);
    }

    [SkippableFact]
    public async Task Transactions_that_commit_in_another_order_than_they_added_lose_nothing_and_keep_the_order()
    {
        await using var database = await DatabaseAsync();
        await using var relay = Start(database);
        await using var connection = await database.OpenConnectionAsync();
        await using (var slow = await connection.BeginTransactionAsync())
        {
            await s_outbox.AddAsync(slow, Topic, "ada", "first");
            await AddAsync(database, ["second"]);
            await AddAsync(database, ["third"]);
            await UntilAsync(async () => (await s_outbox.GetStatusAsync(database)).Pending == 2, "two that wait");
            await Task.Delay(200);
            Assert.Equal(2, (await s_outbox.GetStatusAsync(database)).Pending);
            await slow.CommitAsync();
        }
        Assert.Equal(["first", "second", "third"], await ValuesAsync(3));
    }

    [SkippableFact]
    public async Task Relay_that_ends_between_append_and_delete_doubles_nothing()
    {
        await using var database = await DatabaseAsync();
        var (sends, commits) = (0, 0);
        await using (Start(database, s_options with
        {
            AfterSend = _ => Task.FromResult(Interlocked.Increment(ref sends)),
            // The transaction that would delete what was sent fails, and the lease with it.
            BeforeCommit = () => sends > 0 && Interlocked.Increment(ref commits) > 0 ? throw new IOException("killed") : Task.CompletedTask,
            LeaseDuration = TimeSpan.FromMinutes(5),
        }))
        {
            await AddAsync(database, ["a", "b"]);
            await UntilAsync(() => Task.FromResult(commits > 0), "a transaction that fails");
        }
        Assert.Equal(2, (await s_outbox.GetStatusAsync(database)).Pending);
        await using (var command = database.CreateCommand("UPDATE omq_outbox_relay SET expires_at = '-infinity'"))
            await command.ExecuteNonQueryAsync();
        await using var heir = Start(database);
        await AddAsync(database, ["c"]);
        Assert.Equal(["a", "b", "c"], await ValuesAsync(3));
        await UntilEmptyAsync(database);
        Assert.Equal(["a", "b", "c"], await ValuesAsync(3));
    }

    [SkippableFact]
    public async Task Relay_that_was_replaced_while_it_sends_doubles_nothing()
    {
        await using var database = await DatabaseAsync();
        var (reached, released) = (new TaskCompletionSource(), new TaskCompletionSource());
        var late = new TaskCompletionSource();
        await AddAsync(database, ["a", "b"]);
        await using var zombie = Start(database, s_options with
        {
            BeforeSend = _ =>
            {
                reached.TrySetResult();
                return released.Task.WaitAsync(TimeSpan.FromSeconds(60));
            },
            AfterSend = _ =>
            {
                late.TrySetResult();
                return Task.CompletedTask;
            },
            LeaseDuration = TimeSpan.FromMinutes(5),
        });
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(60));
        await using (var command = database.CreateCommand("UPDATE omq_outbox_relay SET expires_at = '-infinity'"))
            await command.ExecuteNonQueryAsync();
        await using (Start(database, s_options with { LeaseDuration = TimeSpan.FromMinutes(5) }))
        {
            Assert.Equal(["a", "b"], await ValuesAsync(2));
            await AddAsync(database, ["c"]);
            await UntilEmptyAsync(database);
            released.SetResult();
            await late.Task.WaitAsync(TimeSpan.FromSeconds(60));
            await AddAsync(database, ["d"]);
            Assert.Equal(["a", "b", "c", "d"], await ValuesAsync(4));
            await UntilEmptyAsync(database);
        }
    }

    [SkippableFact]
    public async Task Relay_that_hangs_in_a_transaction_is_replaced_after_its_lease()
    {
        await using var database = await DatabaseAsync();
        var (hangs, released) = (new TaskCompletionSource(), new TaskCompletionSource());
        var options = s_options with { LeaseDuration = TimeSpan.FromSeconds(2) };
        await AddAsync(database, ["a"]);
        await using var former = Start(database, options with
        {
            BeforeCommit = () =>
            {
                hangs.TrySetResult();
                return released.Task.WaitAsync(TimeSpan.FromSeconds(60));
            },
        });
        await hangs.Task.WaitAsync(TimeSpan.FromSeconds(60));
        // It holds the row of the lease, and the oldest transaction.
        await using (Start(database, options))
        {
            Assert.Equal(["a"], await ValuesAsync(1));
            await UntilEmptyAsync(database);
        }
        released.SetResult();
    }

    [SkippableFact]
    public async Task Stopped_relay_hands_over_at_once()
    {
        await using var database = await DatabaseAsync();
        var options = s_options with { LeaseDuration = TimeSpan.FromMinutes(10) };
        await using (Start(database, options))
        {
            await AddAsync(database, ["a"]);
            await ValuesAsync(1);
        }
        await using var heir = Start(database, options);
        await AddAsync(database, ["b"]);
        Assert.Equal(["a", "b"], await ValuesAsync(2));
    }

    [SkippableFact]
    public async Task Relay_goes_on_and_hands_over_where_its_measurements_fail_unexpectedly()
    {
        await using var database = await DatabaseAsync();
        await AddAsync(database, ["waits"], topic: "missing");
        // No time: an InvalidCastException.
        await using (var change = database.CreateCommand("ALTER TABLE omq_outbox ALTER added_at DROP DEFAULT, "
            + "ALTER added_at TYPE text USING 'never', ALTER added_at SET DEFAULT 'never'"))
            await change.ExecuteNonQueryAsync();
        var log = new RecordedLog();
        await using (Start(database, log: log))
        {
            await UntilAsync(() => Task.FromResult(log.Lines.Any(static line =>
                line.Contains("cannot be measured", StringComparison.Ordinal))), "a warning of measurements that fail");
            await AddAsync(database, ["a"]);
            Assert.Equal(["a"], await ValuesAsync(1));
        }
        Assert.DoesNotContain(log.Lines, static line => line.Contains("begins anew", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task Message_that_its_topic_refuses_is_parked_and_sent_again_on_request()
    {
        await using var database = await DatabaseAsync();
        await _broker.Client.Admin.CreateTopicAsync("small", 1, new Dictionary<string, string> { ["max.message.bytes"] = "1000" });
        await using var relay = Start(database);
        var large = new string('x', 2_000);
        await AddAsync(database, ["a", large, "b"], topic: "small");
        Assert.Equal(["a", "b"], await ValuesAsync(2, "small"));
        await UntilEmptyAsync(database);
        Assert.Equal(1, (await s_outbox.GetStatusAsync(database)).Parked);
        Assert.StartsWith("MessageTooLarge: ", await TextAsync(database, "SELECT refusal FROM omq_outbox"), StringComparison.Ordinal);
        var id = await TextAsync(database, "SELECT message_id FROM omq_outbox");

        await _broker.Broker.AlterTopicAsync("small", new Dictionary<string, string?> { ["max.message.bytes"] = "100000" });
        await using (var connection = await database.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            Assert.Equal(1, await s_outbox.RetryParkedAsync(transaction));
            await transaction.CommitAsync();
        }
        var record = (await ReadAsync(3, "small"))[2];
        Assert.Equal(large, record.Value);
        Assert.Equal(id, record.Headers.Single(static header => header.Name() == MessageHeaders.MessageId).TextValue());
    }

    private static async Task<string> TextAsync(NpgsqlDataSource database, string query)
    {
        await using var command = database.CreateCommand(query);
        return (string)(await command.ExecuteScalarAsync())!;
    }

    [SkippableFact]
    public async Task Messages_of_a_topic_that_does_not_exist_wait_and_others_go_on()
    {
        await using var database = await DatabaseAsync();
        await using var relay = Start(database);
        await AddAsync(database, ["early"], topic: "later");
        await AddAsync(database, ["never"], topic: "misspelt");
        await AddAsync(database, ["a"]);
        Assert.Equal(["a"], await ValuesAsync(1));
        await _broker.Client.Admin.CreateTopicAsync("later", 2);
        await using (var connection = await database.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            Assert.Equal(1, await s_outbox.DiscardPendingAsync(transaction, "misspelt"));
            await transaction.CommitAsync();
        }
        await UntilEmptyAsync(database);
        await _broker.Client.Admin.CreateTopicAsync("misspelt", 1);
        await AddAsync(database, ["now"], topic: "misspelt");
        Assert.Equal(["now"], await ValuesAsync(1, "misspelt"));
    }

    [SkippableFact]
    public async Task Messages_of_a_partition_that_does_not_exist_hold_up_no_others_and_can_be_discarded()
    {
        const int Stuck = 12_000;
        await using var database = await DatabaseAsync();
        await using (var command = database.CreateCommand("INSERT INTO omq_outbox (outbox, topic, partition, value) SELECT 'outbox', $1, "
            + "7, 'stuck' FROM generate_series(1, $2)"))
        {
            command.Parameters.Add(new NpgsqlParameter { Value = Topic });
            command.Parameters.Add(new NpgsqlParameter { Value = Stuck });
            await command.ExecuteNonQueryAsync();
        }
        await AddAsync(database, ["a", "b"]);
        await using var relay = Start(database);
        Assert.Equal(["a", "b"], await ValuesAsync(2));
        await AddAsync(database, ["c"]);
        Assert.Equal(["a", "b", "c"], await ValuesAsync(3));
        await using (var connection = await database.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            Assert.Equal(0, await s_outbox.DiscardPendingAsync(transaction, new TopicPartition(Topic, 6)));
            Assert.Equal(Stuck, await s_outbox.DiscardPendingAsync(transaction, new TopicPartition(Topic, 7)));
            await transaction.CommitAsync();
        }
        await UntilEmptyAsync(database);
        await UntilAsync(async () => await TextAsync(database, "SELECT count(*)::text FROM omq_outbox_batch") == "0", "no batch is left");
    }

    [SkippableFact]
    public async Task Messages_with_a_key_go_to_a_topic_that_is_made_again_with_fewer_partitions()
    {
        const int Keys = 100;
        await using var database = await DatabaseAsync();
        var broker = new CountingBroker(_broker.Broker);
        await _broker.Client.Admin.CreateTopicAsync("again", 8);
        // They are bound to each of the partitions, and not delivered.
        broker.IsAway = true;
        await using (Start(database, broker: broker))
        {
            for (var key = 0; key < Keys; key++)
                await AddAsync(database, [$"{key}"], topic: "again", key: $"{key}");
            await UntilAsync(async () => await TextAsync(database, "SELECT count(*)::text FROM omq_outbox_batch WHERE topic = 'again'")
                == "8", "a batch of each partition");
        }
        await _broker.Client.Admin.DeleteTopicAsync("again");
        await _broker.Client.Admin.CreateTopicAsync("again", 1);
        broker.IsAway = false;
        await using var relay = Start(database, broker: broker);
        await UntilEmptyAsync(database);
        Assert.Equal(Enumerable.Range(0, Keys).Select(static key => $"{key}").Order(StringComparer.Ordinal),
            (await ValuesAsync(Keys, "again")).Order(StringComparer.Ordinal));
        await UntilAsync(async () => await TextAsync(database, "SELECT count(*)::text FROM omq_outbox_batch") == "0", "no batch is left");
    }

    [SkippableFact]
    public async Task Relay_looks_no_more_for_a_topic_whose_messages_were_discarded()
    {
        await using var database = await DatabaseAsync();
        var broker = new CountingBroker(_broker.Broker);
        await using var relay = Start(database, broker: broker);
        await AddAsync(database, ["never"], topic: "misspelt");
        await AddAsync(database, ["early"], topic: "later");
        await UntilAsync(() => Task.FromResult(broker.Looks("misspelt") > 1 && broker.Looks("later") > 1), "a relay that looks for both");
        await using (var connection = await database.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            Assert.Equal(1, await s_outbox.DiscardPendingAsync(transaction, "misspelt"));
            await transaction.CommitAsync();
        }
        // Both were looked for in turns.
        var (later, misspelt) = (broker.Looks("later"), broker.Looks("misspelt"));
        await UntilAsync(() =>
        {
            if (broker.Looks("misspelt") is var now && now > misspelt)
                (later, misspelt) = (broker.Looks("later"), now);
            return Task.FromResult(broker.Looks("later") > later + 10);
        }, "a relay that looks for one");
    }

    [SkippableFact]
    public async Task Relay_that_is_stopped_while_it_takes_over_hands_over_at_once()
    {
        await using var database = await DatabaseAsync();
        var options = s_options with { LeaseDuration = TimeSpan.FromMinutes(10) };
        Task stopping;
        await using (var connection = await database.OpenConnectionAsync())
        {
            // It waits for this transaction in its first read.
            await using var transaction = await connection.BeginTransactionAsync();
            await using (var command = new NpgsqlCommand("LOCK TABLE omq_outbox_batch", connection, transaction))
                await command.ExecuteNonQueryAsync();
            var relay = Start(database, options);
            await UntilAsync(async () => await TextAsync(database, "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = "
                + "'omq_outbox_batch'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "1",
                "a relay that is in charge and waits");
            stopping = relay.DisposeAsync().AsTask();
        }
        await stopping.WaitAsync(TimeSpan.FromSeconds(60));
        await using var heir = Start(database, options);
        await AddAsync(database, ["a"]);
        Assert.Equal(["a"], await ValuesAsync(1));
    }

    [SkippableFact]
    public async Task Batch_whose_answer_was_lost_is_not_doubled_where_its_topic_takes_only_smaller_ones_now()
    {
        await using var database = await DatabaseAsync();
        var values = Enumerable.Range(0, 20).Select(static number => $"{number}".PadLeft(1_000)).ToList();
        await AddAsync(database, values);
        var sends = 0;
        await using var relay = Start(database, s_options with
        {
            AfterSend = async _ =>
            {
                if (Interlocked.Increment(ref sends) > 1)
                    return;
                await _broker.Broker.AlterTopicAsync(Topic, new Dictionary<string, string?> { ["max.message.bytes"] = "2000" });
                throw new IOException("the answer is lost");
            },
        });
        await UntilEmptyAsync(database);
        Assert.True(sends > 1);
        Assert.Equal(values, await ValuesAsync(values.Count));
        Assert.Equal(values.Count, await _broker.Client.Admin.FindOffsetAsync(new TopicPartition(Topic, 0), ReadFrom.Latest));
        Assert.Equal(0, (await s_outbox.GetStatusAsync(database)).Parked);
    }

    [SkippableFact]
    public async Task Host_runs_the_relay_and_serves_the_outbox()
    {
        await using var database = await DatabaseAsync();
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton(database);
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddPostgresOutbox(s_options);
        using var host = builder.Build();
        await host.StartAsync();
        var outbox = host.Services.GetRequiredService<PostgresOutbox>();
        await using (var connection = await database.OpenConnectionAsync())
        {
            // As Entity Framework hands it out.
            await using System.Data.Common.DbTransaction transaction = await connection.BeginTransactionAsync();
            await outbox.AddAsync(transaction, Topic, "ada", "a");
            await transaction.CommitAsync();
        }
        Assert.Equal(["a"], await ValuesAsync(1));
        await host.StopAsync();
        Assert.Equal(0, (await outbox.GetStatusAsync(database)).Pending);
    }

    [SkippableFact]
    public async Task Names_that_no_topic_can_have_and_ended_transactions_are_refused()
    {
        await using var database = await DatabaseAsync();
        await using var connection = await database.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await Assert.ThrowsAsync<ArgumentException>(() => s_outbox.AddAsync(transaction, "no topic", "ada", "a"));
        await Assert.ThrowsAsync<ArgumentException>(() => s_outbox.AddAsync(transaction, "__outbox", "ada", "a"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => s_outbox.AddAsync(transaction, Topic, "ada", new object()));
        await transaction.CommitAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => s_outbox.AddAsync(transaction, Topic, "ada", "a"));
    }

    [SkippableFact]
    public async Task Relays_that_fail_at_any_step_deliver_each_message_once_and_in_order()
    {
        const int Keys = 6, PerKey = 60;
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        int Next(int bound)
        {
            lock (random)
                return random.Next(bound);
        }
        var connection = await postgres.DatabaseAsync();
        await using var database = NpgsqlDataSource.Create(connection);
        await using var relays = NpgsqlDataSource.Create(connection + ";Application Name=relay");
        await OutboxTables.CreateAsync(database);
        await _broker.Client.Admin.CreateTopicAsync("many", 3);
        var broker = new FlakyBroker(_broker.Broker, Next);
        var options = s_options with
        {
            LeaseDuration = TimeSpan.FromSeconds(1),
            BeforeCommit = () => Next(20) == 0 ? throw new IOException("the database is away") : Task.CompletedTask,
        };
        await using (Start(relays, options, broker))
        await using (Start(relays, options, broker))
        {
            var adding = Task.WhenAll(Enumerable.Range(0, Keys).Select(async key =>
            {
                for (var i = 0; i < PerKey;)
                {
                    var values = Enumerable.Range(i, Math.Min(1 + Next(4), PerKey - i)).Select(number => $"{number}").ToList();
                    if (Next(5) == 0)
                        await AddAsync(database, ["never"], commits: false, "many", $"{key}");
                    await AddAsync(database, values, commits: true, "many", $"{key}");
                    i += values.Count;
                }
            }));
            while (!adding.IsCompleted)
            {
                await Task.Delay(50);
                // The relays' connections break, as where a database fails over.
                await using var command = database.CreateCommand("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                    + "application_name = 'relay' AND datname = current_database()");
                await command.ExecuteNonQueryAsync();
            }
            await adding;
            broker.IsFlaky = false;
            await UntilEmptyAsync(database);
        }
        var delivered = new List<ConsumeResult<string, string>>();
        for (var partition = 0; partition < 3; partition++)
        {
            var end = await _broker.Client.Admin.FindOffsetAsync(new TopicPartition("many", partition), ReadFrom.Latest);
            delivered.AddRange(await ReadAsync((int)end, "many", partition));
        }
        foreach (var key in Enumerable.Range(0, Keys))
        {
            Assert.True(Enumerable.Range(0, PerKey).Select(static number => $"{number}").SequenceEqual(
                delivered.Where(record => record.Key == $"{key}").Select(static record => record.Value)), $"seed {seed}: key {key}");
        }
        Assert.Equal(Keys * PerKey, delivered.Count);
    }

    private sealed class CountingBroker(IBroker inner) : ForwardingBroker(inner)
    {
        private readonly ConcurrentDictionary<string, int> _looks = [];

        public int Looks(string topic) => _looks.GetValueOrDefault(topic);

        /// <summary>Whether no partition takes messages.</summary>
        public bool IsAway { get; set; }

        public override ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
            CancellationToken cancellationToken = default) =>
            IsAway ? new(ProduceResult.Failed(ErrorCode.NotEnoughReplicas, "away"))
                : base.ProduceAsync(partition, batch, acks, cancellationToken);

        public override ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            _looks.AddOrUpdate(topic, 1, static (_, count) => count + 1);
            return base.GetTopicAsync(topic, cancellationToken);
        }
    }

    private sealed class FlakyBroker(IBroker inner, Func<int, int> next) : ForwardingBroker(inner)
    {
        public bool IsFlaky { get; set; } = true;

        public override async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
            CancellationToken cancellationToken = default)
        {
            var fate = IsFlaky ? next(6) : 5;
            if (fate == 0)
                return ProduceResult.Failed(ErrorCode.NotEnoughReplicas, "away");
            var result = await base.ProduceAsync(partition, batch, acks, cancellationToken);
            return fate == 1 ? ProduceResult.Failed(ErrorCode.RequestTimedOut, "the answer is lost") : result;
        }
    }
}
