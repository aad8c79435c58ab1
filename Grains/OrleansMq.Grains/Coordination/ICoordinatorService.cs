using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using Orleans.Services;
using OrleansMq.Grains.Access;

namespace OrleansMq.Grains.Coordination;

/// <summary>What a broker asks of another about coordinators, whatever their grains are doing. Each call may be lost, or doubled.</summary>
[Alias("omq.ICoordinatorService")]
internal interface ICoordinatorService : IGrainService
{
    /// <summary>What that broker has to do with a coordinator: a <see cref="CoordinatorHolding"/>.</summary>
    [Alias("Locate"), ResponseTimeout("00:00:05")]
    Task<int> LocateAsync(GrainId coordinator);

    /// <summary>Another broker has claimed the coordinator's documents: an activation there ends.</summary>
    [Alias("Claimed"), ResponseTimeout("00:00:05")]
    Task ClaimedAsync(GrainId coordinator, int broker);

    /// <summary>Clients' connections to that broker have ended: no answer reaches them.</summary>
    /// <param name="identity">See <see cref="GoneCaller"/>.</param>
    [Alias("CallerGone"), ResponseTimeout("00:00:05")]
    Task CallerGoneAsync(byte[] identity);
}

/// <summary>Calls the <see cref="ICoordinatorService"/> of a silo.</summary>
internal sealed class CoordinatorServiceClient(IServiceProvider services) : GrainServiceClient<ICoordinatorService>(services)
{
    /// <summary>The service of that silo.</summary>
    public ICoordinatorService Of(SiloAddress silo) => GetGrainService(silo);
}

/// <summary>See <see cref="ICoordinatorService"/>. Orleans' clients can address it: each method refuses them.</summary>
[Reentrant]
internal sealed class CoordinatorService(ActiveCoordinators active, GrainDoor door, GrainId id, Silo silo, ILoggerFactory loggers)
    : GrainService(id, silo, loggers), ICoordinatorService
{
    /// <inheritdoc/>
    public Task<int> LocateAsync(GrainId coordinator)
    {
        door.DemandBroker<ICoordinatorService>();
        return Task.FromResult((int)active.HoldingOf(coordinator));
    }

    /// <inheritdoc/>
    public Task ClaimedAsync(GrainId coordinator, int broker)
    {
        door.DemandBroker<ICoordinatorService>();
        return active.EndAsync(coordinator, $"Broker {broker} has claimed it.");
    }

    /// <inheritdoc/>
    public Task CallerGoneAsync(byte[] identity)
    {
        door.DemandBroker<ICoordinatorService>();
        active.AbandonCallsOf(GoneCaller.Client(identity));
        return Task.CompletedTask;
    }
}
