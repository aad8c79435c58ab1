using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace OrleansMq.Connections;

/// <summary>Hosted services of an application may send from their start to their end. Orleans starts before them and stops after them, in
/// whatever order they were registered.</summary>
internal static class HostedServiceOrder
{
    /// <summary>Moves Orleans' hosted services before all others.</summary>
    /// <param name="services">The services of a client or silo.</param>
    /// <param name="own">The assembly whose registrations are Orleans' own.</param>
    public static void StartFirst(this IServiceCollection services, Assembly own)
    {
        var moved = 0;
        for (var index = 0; index < services.Count; index++)
        {
            var present = services[index];
            if (present.IsKeyedService || present.ServiceType != typeof(IHostedService)
                || (present.ImplementationType ?? present.ImplementationFactory?.Method.DeclaringType)?.Assembly != own)
                continue;
            services.RemoveAt(index);
            services.Insert(moved++, present);
        }
    }
}
