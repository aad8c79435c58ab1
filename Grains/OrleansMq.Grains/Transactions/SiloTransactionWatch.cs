using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Partitions;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>Runs the <see cref="TransactionWatch"/> of a silo while it is active.</summary>
/// <remarks>The services of transactions are resolved late: they need the data directory, which the silo's start opens.</remarks>
internal sealed class SiloTransactionWatch(SiloBroker silo, GrainBroker broker, ILocalPartitions local, IServiceProvider services)
    : ILifecycleParticipant<ISiloLifecycle>
{
    // The shortest pause between two sweeps, and what each id adds to it: they read all documents.
    private static readonly TimeSpan SweepPause = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan SweepPausePerId = TimeSpan.FromMilliseconds(10);

    // After a change of the cluster's brokers: by then the dead one's coordinators can run elsewhere.
    private static readonly TimeSpan SweepAfterChange = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _changed = new(0, 1);
    private TransactionWatch? _watch;
    private Task _sweeping = Task.CompletedTask;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(SiloTransactionWatch), ServiceLifecycleStage.Active, StartAsync, StopAsync);

    private Task StartAsync(CancellationToken cancellationToken)
    {
        _watch = new TransactionWatch(local, () => broker.Transactions, services.GetRequiredService<TransactionServices>().Producers,
            silo.Options.Transactions, silo.Options.TimeProvider, silo.Options.Log);
        _sweeping = Task.Run(SweepAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    // A list asks the coordinators of all transactions that are not complete, which wakes those that no broker runs: also where no
    // partition waits for the end, as with offsets alone. The broker with the lowest number lists for all.
    private async Task SweepAsync()
    {
        var peers = services.GetRequiredService<IBrokerPeers>();
        peers.Changed += OnChanged;
        var pause = SweepPause;
        while (!_closing.IsCancellationRequested)
        {
            try
            {
                if (await _changed.WaitAsync(pause, _closing.Token))
                    await Task.Delay(SweepAfterChange, silo.Options.TimeProvider, _closing.Token);
                if (peers.Live.Any(broker => broker < peers.Self))
                    continue;
                var listed = await broker.Transactions.ListTransactionsAsync(_closing.Token);
                pause = SweepPause > listed.Count * SweepPausePerId ? SweepPause : listed.Count * SweepPausePerId;
            }
            catch (Exception failure) when (!_closing.IsCancellationRequested) // Whatever it is: the next sweep may succeed.
            {
                silo.Log(EngineLogLevel.Debug, "The transactional ids could not be listed; they are listed again.", failure);
            }
            catch (OperationCanceledException)
            {
                // The silo stops.
            }
        }
        peers.Changed -= OnChanged;
    }

    private void OnChanged()
    {
        try
        {
            _changed.Release();
        }
        catch (SemaphoreFullException)
        {
            // A sweep is due already.
        }
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        await _closing.CancelAsync();
        await _sweeping;
        if (_watch is { } watch)
            await watch.DisposeAsync();
    }
}
