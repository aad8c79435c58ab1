using System.Data.Common;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Hosting;

/// <summary>
/// Logs once when the cluster's database is lost and once when it is back. When it is back, this writes the silo's heartbeat and reads the
/// membership table at once. Orleans would do both only after pauses that grew during the outage.
/// </summary>
internal sealed class DatabaseWatch(IServiceProvider services, string connectionString, ILocalSiloDetails self, EngineLog log,
    TimeProvider time)
    : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private const int PatienceSeconds = 3;

    private readonly CancellationTokenSource _stopped = new();
    private Task _watching = Task.CompletedTask;
    private DateTimeOffset? _lostSince;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(DatabaseWatch), ServiceLifecycleStage.Active, _ =>
    {
        _watching = Task.Run(WatchAsync);
        return Task.CompletedTask;
    }, _ => DisposeAsync().AsTask());

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        await _watching;
    }

    private async Task WatchAsync()
    {
        // Not pooled: an exhausted pool does not mean that the database is down.
        var settings = new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false, Timeout = PatienceSeconds,
            CommandTimeout = PatienceSeconds };
        var target = $"PostgreSQL at {settings.Host}:{settings.Port}, database '{settings.Database ?? settings.Username}',";
        await using var source = NpgsqlDataSource.Create(settings);
        NpgsqlConnection? connection = null;
        while (!_stopped.IsCancellationRequested)
        {
            try
            {
                connection ??= await source.OpenConnectionAsync(_stopped.Token);
                await using (var ask = new NpgsqlCommand("SELECT 1", connection))
                    await ask.ExecuteScalarAsync(_stopped.Token);
                if (_lostSince is not null)
                    await RegainAsync(target);
            }
            catch (Exception failure) when (failure is DbException or TimeoutException or IOException)
            {
                Lose(target, failure);
                if (connection is not null)
                    await connection.DisposeAsync();
                connection = null;
            }
            catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
            {
                break;
            }
            await Task.Delay(Interval, time, _stopped.Token).ContinueWith(static _ => { }, TaskScheduler.Default);
        }
        if (connection is not null)
            await connection.DisposeAsync();
    }

    private void Lose(string target, Exception failure)
    {
        if (_lostSince is not null)
            return;
        _lostSince = time.GetUtcNow();
        log.Write(EngineLogLevel.Warning,
            $"{target} does not answer: {failure.GetBaseException().Message.ReplaceLineEndings(" ").TrimEnd('.')}. Partitions are "
            + "still served; changes of topics, leaders or replicas wait for it.");
    }

    private async Task RegainAsync(string target)
    {
        await services.GetRequiredService<IMembershipTable>().WriteSignOfLifeAsync(
            new MembershipEntry { SiloAddress = self.SiloAddress, IAmAliveTime = time.GetUtcNow().UtcDateTime });
        await services.GetRequiredService<IClusterMembershipService>().Refresh(cancellationToken: _stopped.Token);
        log.Write(EngineLogLevel.Information, $"{target} answers again, after {(time.GetUtcNow() - _lostSince!.Value).TotalSeconds:0} s.");
        _lostSince = null;
    }
}
