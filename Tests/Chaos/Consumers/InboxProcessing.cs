using Npgsql;
using OrleansMq.Client;
using OrleansMq.Client.PostgreSql;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>A service with exactly-once effects: it books each record in its own database and adds it to the inbox in the same transaction.
/// The bookings table itself does not prevent duplicates.</summary>
internal sealed class InboxProcessing : IAsyncDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly NpgsqlDataSource _database;
    private readonly PostgresInbox _inbox;

    private InboxProcessing(NpgsqlDataSource database, string group) => (_database, _inbox) = (database, new PostgresInbox(group));

    /// <summary>Opens the same database from another process.</summary>
    public static InboxProcessing Open(string connectionString, string group) => new(NpgsqlDataSource.Create(connectionString), group);

    /// <summary>The connection string of the service's database.</summary>
    public static string ConnectionString(RunningCluster cluster) => cluster.Database.ConnectionString("service");

    /// <summary>Creates the service's database on the cluster's server.</summary>
    public static async Task<InboxProcessing> CreateAsync(RunningCluster cluster, string group)
    {
        await using (var server = NpgsqlDataSource.Create(cluster.Database.ConnectionString()))
        await using (var create = server.CreateCommand("CREATE DATABASE service"))
            await create.ExecuteNonQueryAsync();
        var database = NpgsqlDataSource.Create(ConnectionString(cluster));
        await ConsumerTables.CreateAsync(database);
        await using (var table = database.CreateCommand("CREATE TABLE booking (partition integer NOT NULL, record_offset bigint NOT NULL); "
            + "CREATE TABLE delivery (partition integer NOT NULL, record_offset bigint NOT NULL)"))
            await table.ExecuteNonQueryAsync();
        return new InboxProcessing(database, group);
    }

    /// <summary>Processes a record and returns when it is done. Waits while the database is down.</summary>
    /// <param name="record">May be delivered again, to another consumer.</param>
    /// <param name="killed">Ends the consumer, even in the middle of a record.</param>
    public async Task ProcessAsync(ConsumeResult<Ignore, byte[]> record, CancellationToken killed)
    {
        while (true)
        {
            try
            {
                await BookAsync(record, killed);
                return;
            }
            catch (NpgsqlException failure)
                when (failure.IsTransient
                    || failure is PostgresException { SqlState: PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown
                        or PostgresErrorCodes.CannotConnectNow })
            {
                await Task.Delay(Pause, killed);
            }
        }
    }

    /// <summary>The bookings of a partition, and how often its records were processed to the end, with or without an effect.</summary>
    public async Task<(long Records, long Bookings, long Deliveries)> CountAsync(int partition)
    {
        await using var command =
            _database.CreateCommand("SELECT count(DISTINCT record_offset), count(*), (SELECT count(*) FROM delivery WHERE partition = $1) "
            + "FROM booking WHERE partition = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = partition });
        await using var reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        return (reader.GetInt64(0), reader.GetInt64(1), reader.GetInt64(2));
    }

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    private async Task BookAsync(ConsumeResult<Ignore, byte[]> record, CancellationToken killed)
    {
        await using var connection = await _database.OpenConnectionAsync(killed);
        await using var transaction = await connection.BeginTransactionAsync(killed);
        if (await _inbox.TryAddAsync(transaction, record, killed))
            await NoteAsync("booking");
        await NoteAsync("delivery");
        await transaction.CommitAsync(killed);

        async Task NoteAsync(string table)
        {
            await using var note = new NpgsqlCommand($"INSERT INTO {table} (partition, record_offset) VALUES ($1, $2)", connection,
                transaction);
            note.Parameters.Add(new NpgsqlParameter { Value = record.TopicPartition.Partition });
            note.Parameters.Add(new NpgsqlParameter { Value = record.Offset });
            await note.ExecuteNonQueryAsync(killed);
        }
    }
}
