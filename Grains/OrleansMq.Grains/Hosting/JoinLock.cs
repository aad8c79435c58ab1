using System.Buffers.Binary;
using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Npgsql;
using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Hosting;

/// <summary>
/// Lets only one broker of a cluster join at a time. Two that join at once would both find their id free. Also, Orleans makes the second
/// one wait for seconds after a conflict in the membership table, where a turn takes a fraction of one. The turn is an advisory lock in the
/// database, which ends with its holder's connection.
/// </summary>
internal sealed class JoinLock(string connectionString, string clusterId, EngineLog log) : ILifecycleParticipant<ISiloLifecycle>,
    IAsyncDisposable
{
    // Many times what a join takes. After that the holder hangs, and joining concurrently is safe, only slower.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private NpgsqlConnection? _held;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        // Before BrokerIdCheck, until the silo is a member.
        lifecycle.Subscribe(nameof(JoinLock), ServiceLifecycleStage.RuntimeGrainServices - 2, TakeAsync);
        lifecycle.Subscribe(nameof(JoinLock), ServiceLifecycleStage.Active, _ => DisposeAsync().AsTask());
    }

    /// <summary>Waits for the turn; does nothing if it is already held.</summary>
    public async Task TakeAsync(CancellationToken cancellationToken)
    {
        if (_held is not null)
            return;
        var settings = new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false };
        var connection = new NpgsqlConnection(settings.ConnectionString);
        try
        {
            await connection.OpenAsync(cancellationToken);
            var since = DateTime.UtcNow;
            while (!await TryLockAsync(connection, cancellationToken))
            {
                if (DateTime.UtcNow - since > Patience)
                {
                    log.Write(EngineLogLevel.Warning,
                        $"Another broker has been joining for {Patience.TotalSeconds:0} s; joining without waiting for it.");
                    break;
                }
                await Task.Delay(Pause, cancellationToken);
            }
            _held = connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    /// <summary>Changes the membership table in a turn of its own.</summary>
    /// <param name="change">Changes it.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task ChangeAsync(Func<Task> change, CancellationToken cancellationToken)
    {
        await TakeAsync(cancellationToken);
        try
        {
            await change();
        }
        finally
        {
            await DisposeAsync();
        }
    }

    /// <summary>Lets the next broker join.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _held, null) is not { } held)
            return;
        try
        {
            await held.DisposeAsync();
        }
        catch (DbException)
        {
            // The connection broke, which released the lock.
        }
    }

    private async Task<bool> TryLockAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        using var ask = new NpgsqlCommand("SELECT pg_try_advisory_lock(@key)",
            connection) { Parameters = { new("key", KeyOf(clusterId)) } };
        return (bool)(await ask.ExecuteScalarAsync(cancellationToken))!;
    }

    private static long KeyOf(string clusterId) =>
        BinaryPrimitives.ReadInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes($"omq join {clusterId}")));
}
