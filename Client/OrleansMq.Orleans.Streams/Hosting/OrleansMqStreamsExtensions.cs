using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Orleans.Serialization;
using Orleans.Streams;
using OrleansMq.Consumers;
using OrleansMq.Streams;

namespace Orleans.Hosting;

/// <summary>Registers stream providers over OrleansMq topics.</summary>
public static class OrleansMqStreamsExtensions
{
    /// <summary>
    /// Registers a stream provider on a silo: <c>silo.AddOrleansMqStreams("orders")</c>. A stream's namespace is its topic, and its key the
    /// key of its records, so that Kafka clients, HTTP and .NET services read and write the same events. Grains receive them by
    /// <see cref="ImplicitStreamSubscriptionAttribute"/> or by subscriptions of their own: in order for each stream, at least once, and
    /// none is skipped. An event whose observer fails is tried again, and dead-lettered in the end. Services on the silo subscribe in its
    /// process, by <see cref="OrleansMqStreamsServices.GetProcessStreamProvider"/>. The silo is a broker (<c>AddOrleansMq()</c>), or one of
    /// a cluster with brokers.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="name">The provider's name, the same on every silo and client: up to 100 of a-z A-Z 0-9 . _ -.</param>
    /// <param name="configure">Changes the defaults.</param>
    /// <exception cref="ArgumentException">The name or an option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is a stream provider of that name already.</exception>
    public static ISiloBuilder AddOrleansMqStreams(this ISiloBuilder silo, string name,
        Func<OrleansMqStreamOptions, OrleansMqStreamOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(silo);
        AddProvider(silo.Services, name, configure, isOfSilo: true);
        silo.AddOrleansMqClient();
        silo.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStreamNamespacePredicateProvider,
            DefaultStreamNamespacePredicateProvider>());
        silo.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStreamNamespacePredicateProvider,
            ConstructorStreamNamespacePredicateProvider>());
        silo.Services.TryAddKeyedSingleton<IStreamIdMapper, DefaultStreamIdMapper>(DefaultStreamIdMapper.Name);
        silo.Services.TryAddSingleton<ImplicitSubscriptions>();
        if (!silo.Services.Any(static service => service.IsKeyedService && service.ServiceKey is Type key
            && key == typeof(IStreamConsumer)))
            silo.AddDeliveryExtension<IStreamConsumer, StreamConsumer>();
        silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(services =>
            ActivatorUtilities.CreateInstance<StreamDispatcher>(services, name));
        silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(services => new SiloSubscriptionsAtStop(name, services));
        return silo;
    }

    /// <summary>Registers a stream provider on an Orleans client, which sends events to streams and subscribes to them. Its subscriptions
    /// are in its process alone, and end with it; those of grains survive.</summary>
    /// <param name="client">The client.</param>
    /// <param name="name">The provider's name, the same as on the silos.</param>
    /// <param name="configure">Changes the defaults, as on the silos.</param>
    /// <exception cref="ArgumentException">The name or an option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is a stream provider of that name already.</exception>
    public static IClientBuilder AddOrleansMqStreams(this IClientBuilder client, string name,
        Func<OrleansMqStreamOptions, OrleansMqStreamOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        AddProvider(client.Services, name, configure, isOfSilo: false);
        client.AddOrleansMqClient();
        client.Services.AddSingleton<IHostedService>(services => new ClientSubscriptionsAtStop(name, services));
        return client;
    }

    private sealed record ProviderTopics(string Provider, string Prefix)
    {
        public bool Overlaps(string prefix) => Prefix.StartsWith(prefix, StringComparison.Ordinal)
            || prefix.StartsWith(Prefix, StringComparison.Ordinal);
    }

    private static void AddProvider(IServiceCollection services, string name,
        Func<OrleansMqStreamOptions, OrleansMqStreamOptions>? configure, bool isOfSilo)
    {
        ArgumentNullException.ThrowIfNull(name);
        var options = new OrleansMqStreamOptions();
        options = configure?.Invoke(options) ?? options;
        options.Validate(name);
        if (services.Any(service => service.ServiceType == typeof(IStreamProvider) && service.IsKeyedService
            && name.Equals(service.ServiceKey)))
        {
            throw new InvalidOperationException($"There is a stream provider '{name}' already: give each provider a name of its own, and "
                + "call AddOrleansMqStreams once for it.");
        }
        var other = services.Where(static service => !service.IsKeyedService).Select(static service => service.ImplementationInstance)
            .OfType<ProviderTopics>().FirstOrDefault(other => other.Overlaps(options.TopicPrefix));
        if (other is not null)
        {
            throw new InvalidOperationException($"Stream providers '{other.Provider}', with topics '{other.Prefix}*', and '{name}', with "
                + $"'{options.TopicPrefix}*', share topics, whose events grain classes would receive from both: give each a "
                + $"{nameof(OrleansMqStreamOptions.TopicPrefix)} of its own.");
        }
        services.AddSingleton(new ProviderTopics(name, options.TopicPrefix));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IPostConfigureOptions<OrleansJsonSerializerOptions>, StreamJson>());
        services.AddKeyedSingleton(name, (provider, _) =>
            new ProcessStreams(new OrleansMqStreamProvider(name, options, provider, isOfProcess: true)));
        services.AddKeyedSingleton<IStreamProvider>(name, (provider, _) => isOfSilo ? new OrleansMqStreamProvider(name, options, provider)
            : provider.GetRequiredKeyedService<ProcessStreams>(name).Provider);
    }
}
