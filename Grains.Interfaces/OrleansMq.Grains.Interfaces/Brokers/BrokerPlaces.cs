using Microsoft.Extensions.DependencyInjection;

namespace OrleansMq.Grains.Brokers;

/// <summary>The grain directories of a broker's grains. They store nothing: brokers are asked.</summary>
internal static class BrokerDirectories
{
    /// <summary>Of partitions.</summary>
    public const string Partitions = "omq-partitions";

    /// <summary>Of coordinators.</summary>
    public const string Coordinators = "omq-coordinators";
}

/// <summary>A partition's grain is on the silo of its current or chosen leader.</summary>
internal sealed class LeaderPlacement : PlacementStrategy;

/// <summary>A coordinator's grain is on the broker that runs it, or is to run it.</summary>
internal sealed class CoordinatorPlacement : PlacementStrategy;

/// <summary>How a silo without a broker finds the grains of brokers. Where a broker is added to the silo after it, that has its own way in
/// place of this one.</summary>
/// <param name="Services">What is registered for it.</param>
internal sealed record BrokerRoutes(IReadOnlyList<ServiceDescriptor> Services)
{
    /// <summary>Removes it from a silo that becomes a broker.</summary>
    public static void RemoveFrom(IServiceCollection services)
    {
        foreach (var routes in services.Where(static service => !service.IsKeyedService)
            .Select(static service => service.ImplementationInstance).OfType<BrokerRoutes>().ToList())
        {
            foreach (var service in routes.Services)
                services.Remove(service);
        }
    }
}
