using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;

namespace OrleansMq.Streams;

/// <summary>Stream providers of services.</summary>
public static class OrleansMqStreamsServices
{
    /// <summary>
    /// Returns a stream provider whose subscriptions are in this process: for a <c>BackgroundService</c> and other services on a silo,
    /// which are no grains. They are those of an Orleans client: not stored, from the next event or from a token on, in order, and each at
    /// its own pace. They end when the silo stops, after up to 5 seconds for calls under way. <c>GetAllSubscriptionHandles</c> returns the
    /// subscriptions of this process. Observers are called on the thread pool, outside of every grain: a grain subscribes by its own
    /// <c>GetStreamProvider</c>. In the process of an Orleans client it returns the client's provider.
    /// </summary>
    /// <param name="services">The services of the silo or the client.</param>
    /// <param name="name">The provider's name, as given to <c>AddOrleansMqStreams</c>.</param>
    /// <exception cref="InvalidOperationException">There is no such provider here.</exception>
    public static IStreamProvider GetProcessStreamProvider(this IServiceProvider services, string name)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(name);
        return services.GetKeyedService<ProcessStreams>(name)?.Provider ?? throw new InvalidOperationException(
            $"Provider '{name}' is not registered in this process as one of OrleansMq: call AddOrleansMqStreams(\"{name}\").");
    }
}
