using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>Runs the <see cref="TransactionWatch"/> of a silo while it is active.</summary>
internal sealed class SiloTransactionWatch(SiloBroker silo, GrainBroker broker, TransactionServices transactions, ILocalPartitions local)
    : ILifecycleParticipant<ISiloLifecycle>
{
    private TransactionWatch? _watch;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(SiloTransactionWatch), ServiceLifecycleStage.Active, StartAsync, StopAsync);

    private Task StartAsync(CancellationToken cancellationToken)
    {
        _watch = new TransactionWatch(local, () => broker.Transactions, transactions.Producers, silo.Options.Transactions,
            silo.Options.TimeProvider, silo.Options.Log);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_watch is { } watch)
            await watch.DisposeAsync();
    }
}
