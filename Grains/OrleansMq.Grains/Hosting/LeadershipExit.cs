using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Hosting;

/// <summary>The first step of a graceful stop: leaderships are handed over while requests are still served.</summary>
internal sealed class LeadershipExit(SiloBroker broker, BrokerClusterOptions options, IEnumerable<ILeadershipHandover> handovers)
    : ILifecycleParticipant<ISiloLifecycle>
{
    private readonly Lock _lock = new();
    private Task? _left;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        // Stops run downwards: before anything else of the silo stops, where the host has not done it yet.
        lifecycle.Subscribe(nameof(LeadershipExit), ServiceLifecycleStage.Last, _ => Task.CompletedTask, _ => LeaveAsync());

    /// <summary>Hands over once; returns when it is done, or the time is up.</summary>
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
                // Whatever it is, the broker stops all the same: those that lead no more are elected by the others.
                broker.Log(EngineLogLevel.Warning,
                    "Leaderships could not all be handed over; the other brokers take them when this one is gone.", failure);
            }
        }
    }
}
