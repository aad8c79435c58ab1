using Npgsql;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.PostgreSql;
using OrleansMq.Grains.Storage;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Replication;
using OrleansMq.State;
using OrleansMq.Tests.Cluster.Partitions;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.PostgreSql;

/// <summary>Partition states in PostgreSQL, many with one statement.</summary>
public sealed class PostgreSqlPartitionStatesTests(PostgreSqlFixture postgres) : PartitionStatesConformance,
    IClassFixture<PostgreSqlFixture>
{
    private const string Service = "omq";

    private protected override async Task<IPartitionStates> StatesAsync() => Open(await MigratedAsync());

    [SkippableFact]
    public async Task Rows_are_those_of_the_grain_storage()
    {
        var database = await MigratedAsync();
        IPartitionStates states = Open(database);
        var storage = new PartitionStates(await PostgreSqlStorage.OpenAsync(database, StateDocuments.Json, Service));
        var state = PartitionState.Create(Key.TopicId, [2, 1]);

        var etag = await states.CreateAsync(Key, state);
        await Assert.ThrowsAsync<StateConflictException>(() => storage.CreateAsync(Key, state));
        etag = await storage.WriteAsync(Key, state with { LeaderEpoch = 1 }, etag);
        etag = await states.WriteAsync(Key, state with { LeaderEpoch = 2 }, etag);
        var stored = (await storage.ReadAsync(Key))!;
        Assert.Equal((etag, 2), (stored.ETag, stored.State.LeaderEpoch));
        await states.ClearAsync(Key);
        Assert.Null(await storage.ReadAsync(Key));

        await storage.CreateAsync(Key, state);
        await Assert.ThrowsAsync<StateConflictException>(() => states.CreateAsync(Key, state));
        Assert.Equal([1L], await PostgreSqlFixture.ReadAsync<long>(database, "SELECT count(*) FROM omq_grain_state"));
        await storage.ClearAsync(Key);
        Assert.Null(await states.ReadAsync(Key));
    }

    [SkippableFact]
    public async Task Brokers_that_change_the_same_partitions_never_wait_for_each_other_in_a_circle()
    {
        const int partitions = 200;
        const int rounds = 10;
        var database = await MigratedAsync();
        IPartitionStates[] brokers = [Open(database), Open(database), Open(database)];
        ReplicaKey[] keys = [.. Enumerable.Range(0, partitions).Select(number => Key with { Partition = number })];
        var state = PartitionState.Create(Key.TopicId, [1, 2, 3]);
        await Task.WhenAll(keys.Select(key => brokers[0].CreateAsync(key, state)));
        for (var round = 1; round <= rounds; round++)
        {
            var stored = await Task.WhenAll(keys.Select(brokers[0].ReadAsync));
            var claims = await Task.WhenAll(brokers.SelectMany((broker, number) => keys
                .Select((key, i) => (Key: key, stored[i]!.ETag)).OrderBy(_ => Random.Shared.Next())
                .Select(one => TryWriteAsync(broker, one.Key, state with { LeaderEpoch = round, Leader = number }, one.ETag))));
            Assert.Equal(partitions, claims.Count(claim => claim.ETag is not null));
        }
        await Task.WhenAll(brokers.SelectMany(broker => keys.OrderBy(_ => Random.Shared.Next()).Select(broker.ClearAsync)));
        Assert.Equal([0L], await PostgreSqlFixture.ReadAsync<long>(database, "SELECT count(*) FROM omq_grain_state"));
        Assert.Equal([0L], await PostgreSqlFixture.ReadAsync<long>(database,
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"));
    }

    [SkippableFact]
    public async Task Row_that_another_transaction_holds_fails_its_own_requests_and_no_others()
    {
        const int partitions = 100;
        var database = await MigratedAsync();
        IPartitionStates states = Open(database);
        ReplicaKey[] keys = [.. Enumerable.Range(0, partitions).Select(number => Key with { Partition = number })];
        var state = PartitionState.Create(Key.TopicId, [1, 2, 3]);
        var etags = await Task.WhenAll(keys.Select(key => states.CreateAsync(key, state)));
        var held = keys[partitions / 2];
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await using var hold = new NpgsqlCommand(
                $"SELECT 1 FROM omq_grain_state WHERE grain_id_extension LIKE '%/{held.Partition}' FOR UPDATE", connection, transaction);
            Assert.NotNull(await hold.ExecuteScalarAsync());
            var writes = keys.Select((key, i) => states.WriteAsync(key, state with { LeaderEpoch = 1 }, etags[i])).ToArray();
            for (var i = 0; i < partitions; i++)
            {
                if (keys[i] != held)
                    etags[i] = await writes[i];
            }
            var refused = await Assert.ThrowsAsync<PostgresException>(() => writes[held.Partition]);
            Assert.Equal(PostgresErrorCodes.LockNotAvailable, refused.SqlState);
            // A creation and a removal that meet the row.
            ReplicaKey[] added = [Key with { Partition = partitions }, Key with { Partition = partitions + 1 }];
            var creations = added.Append(held).Select(key => states.CreateAsync(key, state)).ToArray();
            await Task.WhenAll(creations[..^1]);
            await Assert.ThrowsAsync<PostgresException>(() => creations[^1]);
            var removals = added.Append(held).Select(states.ClearAsync).ToArray();
            await Task.WhenAll(removals[..^1]);
            await Assert.ThrowsAsync<PostgresException>(() => removals[^1]);
        }
        // It holds it no longer. The sessions have their own lock time-out again.
        Assert.NotNull(await states.WriteAsync(held, state with { LeaderEpoch = 1 }, etags[held.Partition]));
        Assert.Equal(partitions, (await Task.WhenAll(keys.Select(states.ReadAsync))).Count(stored => stored!.State.LeaderEpoch == 1));
        Assert.Equal(["0"], await PostgreSqlFixture.ReadAsync<string>(database, "SHOW lock_timeout"));
    }

    private static PostgreSqlPartitionStates Open(string database) => new(database, Service);

    private async Task<string> MigratedAsync()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        return database;
    }
}
