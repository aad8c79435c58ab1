using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Diagnostics;
using OrleansMq.Hosting;

namespace OrleansMq.Grains.Hosting;

/// <summary>Runs the gateways that were added to a silo, while the silo is active.</summary>
internal sealed class SiloGateways(IServiceProvider services, IEnumerable<IGateway> gateways) : ILifecycleParticipant<ISiloLifecycle>
{
    // Stops run downwards: after leaderships are handed over, before long polls of the silo end.
    private const int Stage = ServiceLifecycleStage.Active + 1;

    private readonly IReadOnlyList<IGateway> _gateways = [.. gateways];

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        if (_gateways.Count > 0)
            lifecycle.Subscribe(nameof(SiloGateways), Stage, StartAsync, StopAsync);
    }

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        var broker = services.GetRequiredService<HostedBroker>();
        GatewayMeters.Share(_gateways);
        foreach (var gateway in _gateways)
        {
            await gateway.ListenAsync(cancellationToken);
            gateway.Open(broker);
        }
        var silo = services.GetRequiredService<SiloBroker>();
        foreach (var warning in OpenDoors.WarningsOf([.. OpenDoors.Of(_gateways)], silo.Options))
            silo.Log(EngineLogLevel.Warning, warning);
    }

    private Task StopAsync(CancellationToken deadline)
    {
        foreach (var gateway in _gateways)
            gateway.Drain();
        return Task.WhenAll(_gateways.Select(gateway => gateway.StopAsync(deadline)));
    }
}
