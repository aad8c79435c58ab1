using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Hosting;

/// <summary>The first step of a graceful stop: hands leaderships over while requests are still served.</summary>
internal sealed class LeadershipExit(SiloBroker broker, BrokerClusterOptions options, IEnumerable<ILeadershipHandover> handovers)
    : ILifecycleParticipant<ISiloLifecycle>
{
    private readonly Lock _lock = new();
    private Task? _left;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        // Stages stop in reverse order, so this runs before any other part of the silo stops, unless the host has done it already.
        lifecycle.Subscribe(nameof(LeadershipExit), ServiceLifecycleStage.Last, _ => Task.CompletedTask, _ => LeaveAsync());

    /// <summary>Hands over once; returns when it is done, or when the time limit passes.</summary>
    public Task LeaveAsync()
    {
        lock (_lock)
            return _left ??= Task.Run(HandOverAsync);
    }

    private async Task HandOverAsync()
    {
        foreach (var handover in handovers)
        {
            try
            {
                await handover.HandOverAllAsync(options.HandoverTimeout).WaitAsync(options.HandoverTimeout + TimeSpan.FromSeconds(1));
            }
            catch (Exception failure)
            {
                // The broker stops regardless of the failure; the other brokers elect leaders for the rest.
                broker.Log(EngineLogLevel.Warning,
                    "Could not hand over all leaderships; the other brokers will elect new leaders once this one is gone.", failure);
            }
        }
    }
}
