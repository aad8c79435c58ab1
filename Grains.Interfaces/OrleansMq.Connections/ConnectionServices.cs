using System.Reflection;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Orleans.Networking.Shared;

namespace OrleansMq.Connections;

/// <summary>
/// Puts <see cref="SocketConnection"/> in the place of the sockets with which Orleans' client connects to silos. What goes over the wire is
/// the same, so either side may have one or the other.
/// <para>Orleans looks its transport up among its services: an <see cref="IConnectionFactory"/> under a key of its own, which is read from
/// the registration. Whoever has registered another transport keeps it, before as well as after.</para>
/// </summary>
internal static class ConnectionServices
{
    /// <summary>Replaces Orleans' own.</summary>
    /// <param name="services">The services of a client.</param>
    /// <param name="own">The assembly whose registrations are Orleans' own.</param>
    public static void UseLargeBlocks(this IServiceCollection services, Assembly own) => services.ReplaceOwn<IConnectionFactory>(own,
        static (provider, _) => new SocketConnections(provider.GetRequiredService<IOptions<SocketConnectionOptions>>()));

    /// <summary>Replaces what Orleans registered itself, under whatever key; what somebody else registered stays.</summary>
    /// <param name="services">The services of a client or silo.</param>
    /// <param name="own">The assembly whose registrations are Orleans' own.</param>
    /// <param name="make">Makes what stands in its place, given how to make what stood there.</param>
    public static void ReplaceOwn<TService>(this IServiceCollection services, Assembly own,
        Func<IServiceProvider, Func<TService>, TService> make) where TService : class
    {
        for (var index = 0; index < services.Count; index++)
        {
            var present = services[index];
            if (present.IsKeyedService && present.ServiceType == typeof(TService) && present.KeyedImplementationFactory is { } replaced
                && replaced.Method.Module.Assembly == own)
                services[index] = ServiceDescriptor.KeyedSingleton(present.ServiceKey,
                    (provider, key) => make(provider, () => (TService)replaced(provider, key)));
        }
    }
}
