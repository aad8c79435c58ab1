using OrleansMq.Diagnostics;
using OrleansMq.PostgreSql.Schema;

namespace OrleansMq.Grains.Hosting;

/// <summary>A replicated cluster's database cannot be used; the message is one line that says why, and the fix. It names no
/// password.</summary>
public sealed class ClusterDatabaseException(string message, Exception inner) : Exception(message, inner);

/// <summary>Makes the cluster's database ready before the silo uses it: waits until it answers, and brings its schema up to date.</summary>
/// <param name="connectionString">Npgsql's.</param>
/// <param name="timeout">How long to wait.</param>
/// <param name="log">Where it says that it waits.</param>
internal sealed class ClusterDatabase(string connectionString, TimeSpan timeout, EngineLog log) : ILifecycleParticipant<ISiloLifecycle>
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private bool _isReady;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ClusterDatabase), ServiceLifecycleStage.First, PrepareAsync);

    /// <summary>Returns when the database can be used; once it could, at once.</summary>
    /// <exception cref="ClusterDatabaseException">It did not answer in time, or refuses.</exception>
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
                throw new ClusterDatabaseException($"--postgres: given up after {timeout.TotalSeconds:0} s. {unreachable.Message}",
                    unreachable);
            }
            catch (SchemaRefusedException refused)
            {
                throw new ClusterDatabaseException($"--postgres: {refused.Message} If this broker's user may not create tables, run "
                    + "'./omq db migrate --postgres ...' once as one who may.", refused);
            }
        }
    }

    /// <summary>Npgsql names the key that is wrong, not the values.</summary>
    public static ClusterDatabaseException Malformed(ArgumentException malformed) =>
        new($"--postgres: this is no connection string: {malformed.Message}", malformed);
}
