using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>Runs the <see cref="TransactionWatch"/> of a silo while it is active.</summary>
/// <remarks>The services of transactions are resolved late: they need the data directory, which the silo's start opens.</remarks>
internal sealed class SiloTransactionWatch(SiloBroker silo, GrainBroker broker, ILocalPartitions local, IServiceProvider services)
    : ILifecycleParticipant<ISiloLifecycle>
{
    private TransactionWatch? _watch;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(SiloTransactionWatch), ServiceLifecycleStage.Active, StartAsync, StopAsync);

    private Task StartAsync(CancellationToken cancellationToken)
    {
        _watch = new TransactionWatch(local, () => broker.Transactions, services.GetRequiredService<TransactionServices>().Producers,
            silo.Options.Transactions, silo.Options.TimeProvider, silo.Options.Log);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_watch is { } watch)
            await watch.DisposeAsync();
    }
}
