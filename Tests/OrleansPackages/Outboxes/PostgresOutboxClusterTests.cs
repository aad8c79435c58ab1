using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Client.PostgreSql;
using OrleansMq.Partitioning;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>The outbox of a service's own transactions, whose relays send to three silos.</summary>
public sealed class PostgresOutboxClusterTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const string Topic = "sales";
    private const int Keys = 6;
    private const int Sales = 60;
    private const int Partitions = 3;

    [SkippableFact]
    public async Task Messages_of_transactions_are_appended_once_and_in_order_while_a_silo_dies_and_the_relay_changes()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Topic, Partitions, 3));
        await Cluster.UntilInSyncAsync(Topic);
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(Topic)).Partitions[0].Leader;
        var (first, second) = (1 + (victim % 3), 1 + ((victim + 1) % 3));
        await using var database = NpgsqlDataSource.Create(await Postgres.DatabaseAsync());
        await OutboxTables.CreateAsync(database);
        using var relay = await StartRelayAsync(database, first);
        using var next = await StartRelayAsync(database, second);
        var (added, rolledBack) = (new ConcurrentQueue<(string Key, int Number)>(), 0);
        var selling = Task.WhenAll(Enumerable.Range(0, Keys).Select(key => SellAsync($"{key}")));
        await Wait.UntilAsync(() => added.Count >= Keys * Sales / 4, "a quarter is committed");
        await Cluster.KillAsync(victim);
        await Wait.UntilAsync(() => added.Count >= Keys * Sales / 2, "a half is committed");
        await relay.StopAsync();
        await selling;

        var read = new Dictionary<string, List<int>>();
        await using var reader = new OrleansMqClient(Cluster.Broker(second)).CreatePartitionReader<string, string>();
        for (var partition = 0; partition < Partitions; partition++)
        {
            var keys = Enumerable.Range(0, Keys).Select(static key => $"{key}").Where(key =>
                Murmur2Partitioner.ForKey(System.Text.Encoding.UTF8.GetBytes(key), Partitions) == partition).ToList();
            // What comes behind all of them shows that there are no more.
            await AddAsync(new ProducerRecord<string, string>(Topic, "end", "end") { Partition = partition }, commits: true);
            reader.Assign(new TopicPartition(Topic, partition), ReadFrom.Earliest);
            while (true)
            {
                var sale = await reader.ReadAsync().AsTask().WaitAsync(Wait.Deadline);
                if (sale.Key == "end")
                    break;
                Assert.Contains(sale.Key, keys);
                if (!read.TryGetValue(sale.Key, out var numbers))
                    read[sale.Key] = numbers = [];
                numbers.Add(int.Parse(sale.Value, System.Globalization.CultureInfo.InvariantCulture));
            }
        }
        Assert.True(rolledBack > 0);
        foreach (var key in Enumerable.Range(0, Keys).Select(static key => $"{key}"))
            Assert.Equal(added.Where(sale => sale.Key == key).Select(static sale => sale.Number), read[key]);
        await next.StopAsync();

        async Task SellAsync(string key)
        {
            for (var number = 0; number < Sales; number++)
            {
                var commits = number % 5 != 4;
                await AddAsync(new ProducerRecord<string, string>(Topic, key, $"{number}"), commits);
                if (commits)
                    added.Enqueue((key, number));
                else
                    Interlocked.Increment(ref rolledBack);
            }
        }

        async Task AddAsync(ProducerRecord<string, string> sale, bool commits)
        {
            await using var connection = await database.OpenConnectionAsync();
            await using var transaction = await connection.BeginTransactionAsync();
            await new PostgresOutbox().AddAsync(transaction, sale);
            if (commits)
                await transaction.CommitAsync();
        }
    }

    // A process of the service, whose client is connected to one broker.
    private async Task<IHost> StartRelayAsync(NpgsqlDataSource database, int broker)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddSingleton(database);
        builder.Services.AddOrleansMqClient().UseBroker(Cluster.Broker(broker)).AddPostgresOutbox(new PostgresOutboxOptions
        {
            PollInterval = TimeSpan.FromMilliseconds(20),
        });
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }
}
