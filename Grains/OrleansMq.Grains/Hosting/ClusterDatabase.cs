using OrleansMq.Diagnostics;
using OrleansMq.PostgreSql.Schema;

namespace OrleansMq.Grains.Hosting;

/// <summary>A replicated cluster's database cannot be used. The message is one line with the reason and the fix, without the
/// password.</summary>
public sealed class ClusterDatabaseException(string message, Exception inner) : Exception(message, inner);

/// <summary>Prepares the cluster's database before the silo uses it: waits until it answers, and brings its schema up to date.</summary>
/// <param name="connectionString">An Npgsql connection string.</param>
/// <param name="timeout">How long to wait.</param>
/// <param name="log">Gets a line while it waits.</param>
internal sealed class ClusterDatabase(string connectionString, TimeSpan timeout, EngineLog log) : ILifecycleParticipant<ISiloLifecycle>
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private bool _isReady;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ClusterDatabase), ServiceLifecycleStage.First, PrepareAsync);

    /// <summary>Returns when the database is usable; after the first success at once.</summary>
    /// <exception cref="ClusterDatabaseException">The database did not answer in time, or refused.</exception>
    public async Task PrepareAsync(CancellationToken cancellationToken)
    {
        if (_isReady)
            return;
        var deadline = DateTime.UtcNow + timeout;
        var said = false;
        while (true)
        {
            try
            {
                var result = await SchemaMigration.ApplyAsync(connectionString, cancellationToken);
                if (result.Applied.Count > 0)
                    log.Write(EngineLogLevel.Information, $"Brought the schema of {result.Database} to version {result.ToVersion}.");
                else if (said)
                    log.Write(EngineLogLevel.Information, $"PostgreSQL answers at {result.Database}.");
                _isReady = true;
                return;
            }
            catch (DatabaseUnreachableException unreachable) when (DateTime.UtcNow + Pause < deadline)
            {
                if (!said)
                    log.Write(EngineLogLevel.Warning,
                        $"Waiting up to {timeout.TotalSeconds:0} s for the cluster's database. {unreachable.Message}");
                said = true;
                await Task.Delay(Pause, cancellationToken);
            }
            catch (DatabaseUnreachableException unreachable)
            {
                throw new ClusterDatabaseException($"--postgres: gave up after {timeout.TotalSeconds:0} s. {unreachable.Message}",
                    unreachable);
            }
            catch (SchemaRefusedException refused)
            {
                throw new ClusterDatabaseException($"--postgres: {refused.Message} If this broker's user may not create tables, run "
                    + "'./omq db migrate --postgres ...' once as a user with that right.", refused);
            }
        }
    }

    /// <summary>Wraps Npgsql's error, which names the wrong key but no values.</summary>
    public static ClusterDatabaseException Malformed(ArgumentException malformed) =>
        new($"--postgres: not a valid connection string: {malformed.Message}", malformed);
}
