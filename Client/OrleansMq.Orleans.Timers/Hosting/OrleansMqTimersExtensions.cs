using Microsoft.Extensions.DependencyInjection;
using Orleans.Metadata;
using OrleansMq.Consumers;
using OrleansMq.Timers;

namespace Orleans.Hosting;

/// <summary>Registers durable timers.</summary>
public static class OrleansMqTimersExtensions
{
    /// <summary>
    /// Registers <see cref="IDurableTimers"/> on a silo, and delivers timers that are due to grains whose classes implement
    /// <see cref="IDurableTimerHandler{TMessage}"/>. Call it on every silo that hosts such a class. The silo is a broker
    /// (<c>AddOrleansMq()</c>), or one of a cluster with brokers.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Changes the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">It was called before.</exception>
    public static ISiloBuilder AddOrleansMqTimers(this ISiloBuilder silo,
        Func<OrleansMqTimerOptions, OrleansMqTimerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(silo);
        AddTimers(silo.Services, configure);
        silo.Services.AddSingleton<TimerHandlers>();
        silo.Services.AddSingleton<IGrainPropertiesProvider, TimerProperties>();
        silo.Services.AddSingleton<TimerDispatcher>();
        silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(static services =>
            services.GetRequiredService<TimerDispatcher>());
        silo.AddDeliveryExtension<ITimerReceiver, TimerReceiver>();
        silo.AddOrleansMqClient();
        return silo;
    }

    /// <summary>Registers <see cref="IDurableTimers"/> on an Orleans client. The silos deliver.</summary>
    /// <param name="client">The client.</param>
    /// <param name="configure">Changes the defaults, as on the silos.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">It was called before.</exception>
    public static IClientBuilder AddOrleansMqTimers(this IClientBuilder client,
        Func<OrleansMqTimerOptions, OrleansMqTimerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        AddTimers(client.Services, configure);
        client.AddOrleansMqClient();
        return client;
    }

    private static void AddTimers(IServiceCollection services, Func<OrleansMqTimerOptions, OrleansMqTimerOptions>? configure)
    {
        var options = new OrleansMqTimerOptions();
        options = configure?.Invoke(options) ?? options;
        options.Validate();
        if (services.Any(static service => service.ServiceType == typeof(OrleansMqTimerOptions)))
            throw new InvalidOperationException("AddOrleansMqTimers is called already: call it once a silo or client, with all options.");
        services.AddSingleton(options);
        services.AddSingleton(static provider => new TimerCatalog(provider.GetRequiredService<IClusterManifestProvider>(),
            TimeProvider.System));
        services.AddSingleton<IDurableTimers, DurableTimers>();
    }
}
