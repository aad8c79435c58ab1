using System.Reflection;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Orleans.Networking.Shared;

namespace OrleansMq.Grains.Connections;

/// <summary>
/// Puts <see cref="SocketConnection"/> in the place of the sockets with which Orleans' client connects to silos. What goes over the wire is the same, so either side may have one or the other.
/// <para>Orleans looks its transport up among its services: an <see cref="IConnectionFactory"/> under a key of its own, which is read from the registration. Whoever has registered another
/// transport keeps it, before as well as after.</para>
/// </summary>
internal static class ConnectionServices
{
    /// <summary>Replaces Orleans' own.</summary>
    /// <param name="services">The services of a client.</param>
    /// <param name="own">The assembly whose registrations are Orleans' own.</param>
    public static void UseLargeBlocks(this IServiceCollection services, Assembly own)
    {
        for (var index = 0; index < services.Count; index++)
        {
            var present = services[index];
            if (present.IsKeyedService && present.ServiceType == typeof(IConnectionFactory) && present.KeyedImplementationFactory?.Method.Module.Assembly == own)
                services[index] = ServiceDescriptor.KeyedSingleton<IConnectionFactory>(present.ServiceKey,
                    static (provider, _) => new SocketConnections(provider.GetRequiredService<IOptions<SocketConnectionOptions>>()));
        }
    }
}
