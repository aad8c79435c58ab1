using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using Orleans.Services;

namespace OrleansMq.Grains.Groups;

/// <summary>What a broker asks of another about groups, whatever their grains are doing. Each call may be lost, or doubled.</summary>
[Alias("omq.IGroupService")]
internal interface IGroupService : IGrainService
{
    /// <summary>What that broker has to do with a group: a <see cref="GroupHolding"/>.</summary>
    [Alias("Locate"), ResponseTimeout("00:00:05")]
    Task<int> LocateAsync(string groupId);

    /// <summary>Another broker has claimed the group: an activation there ends.</summary>
    [Alias("Claimed"), ResponseTimeout("00:00:05")]
    Task ClaimedAsync(string groupId, int broker);
}

/// <summary>Calls the <see cref="IGroupService"/> of a silo.</summary>
internal sealed class GroupServiceClient(IServiceProvider services) : GrainServiceClient<IGroupService>(services)
{
    /// <summary>The service of that silo.</summary>
    public IGroupService Of(SiloAddress silo) => GetGrainService(silo);
}

/// <summary>See <see cref="IGroupService"/>.</summary>
[Reentrant]
internal sealed class GroupService(ActiveGroups active, GrainId id, Silo silo, ILoggerFactory loggers) : GrainService(id, silo, loggers),
IGroupService
{
    /// <inheritdoc/>
    public Task<int> LocateAsync(string groupId) => Task.FromResult((int)active.HoldingOf(groupId));

    /// <inheritdoc/>
    public Task ClaimedAsync(string groupId, int broker) => active.EndAsync(groupId, $"Broker {broker} has claimed it.");
}
