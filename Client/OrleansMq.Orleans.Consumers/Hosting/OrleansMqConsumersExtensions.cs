using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Consumers;

namespace Orleans.Hosting;

/// <summary>Registers grain consumers.</summary>
public static class OrleansMqConsumersExtensions
{
    /// <summary>
    /// Lets the grains of this silo consume topics, whose classes have <see cref="ConsumesAttribute"/>: each record goes to the grain of
    /// its key, one at a time and in order. It is settled when the grain's method has returned. Where that throws, the record is tried
    /// again, and dead-lettered in the end. The start fails where a class or its topic is not fit for it. The silo is a broker
    /// (<c>AddOrleansMq()</c>), or one of a cluster with brokers. Call it on every silo that hosts such a class.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Changes the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">It was called before.</exception>
    public static ISiloBuilder AddOrleansMqConsumers(this ISiloBuilder silo,
        Func<OrleansMqConsumerOptions, OrleansMqConsumerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(silo);
        var options = new OrleansMqConsumerOptions();
        options = configure?.Invoke(options) ?? options;
        options.Validate();
        if (silo.Services.Any(static service => service.ServiceType == typeof(OrleansMqConsumerOptions)))
            throw new InvalidOperationException("AddOrleansMqConsumers is called already: call it once a silo, with all options.");
        silo.Services.AddSingleton(options);
        silo.Services.AddSingleton<ConsumerClasses>();
        silo.Services.AddSingleton<IConfigurationValidator>(static services => services.GetRequiredService<ConsumerClasses>());
        silo.Services.AddSingleton<ConsumingActivations>();
        silo.Services.AddSingleton<ConsumerDispatcher>();
        silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(static services =>
            services.GetRequiredService<ConsumerDispatcher>());
        silo.AddDeliveryExtension<IRecordReceiver, RecordReceiver>();
        silo.AddOrleansMqClient();
        return silo;
    }
}
