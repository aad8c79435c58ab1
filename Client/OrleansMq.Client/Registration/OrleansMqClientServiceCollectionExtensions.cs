using System.Diagnostics.CodeAnalysis;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using OrleansMq.Api;
using OrleansMq.Client;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers the client library.</summary>
public static partial class OrleansMqClientServiceCollectionExtensions
{
    /// <summary>
    /// Registers <see cref="OrleansMqClient"/> and <see cref="IAdmin"/> over the <see cref="IBroker"/> in the container. That broker is one
    /// the host registers itself (a broker in process, an Orleans silo or client), or comes from
    /// <see cref="UseHttp(OrleansMqClientBuilder, Uri, HttpBrokerOptions)"/> or <see cref="UseBroker"/>.
    /// <code>services.AddOrleansMqClient().UseHttp(new Uri("http://127.0.0.1:8080"))
    ///     .UseJson(MyJson.Default).AddProducer&lt;string, Order&gt;();</code>
    /// </summary>
    /// <param name="services">The container.</param>
    /// <param name="configure">Sets the options for producers and readers that are created without any, as
    /// <c>services.Configure&lt;OrleansMqClientOptions&gt;(...)</c> does. A host validates them when it starts.</param>
    public static OrleansMqClientBuilder AddOrleansMqClient(this IServiceCollection services,
        Action<OrleansMqClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        var options = ClientRegistrations.AddValidated<OrleansMqClientOptions>(services, Options.Options.DefaultName,
            static options => options.Validate());
        if (configure is not null)
            options.Configure(configure);
        services.TryAddSingleton(provider => new OrleansMqClient(
            provider.GetService<IBroker>() ?? throw new InvalidOperationException(
                "AddOrleansMqClient() found no broker. Add .UseHttp(uri), .UseBroker(broker), or register an IBroker."),
            provider.GetRequiredService<IOptions<OrleansMqClientOptions>>().Value, provider.GetService<ILoggerFactory>()));
        services.TryAddSingleton(provider => provider.GetRequiredService<OrleansMqClient>().Admin);
        ProducersAtStop.AddTo(services, static provider => new ProducersAtStop(LoggerOf(provider, "OrleansMq.Client.Producer")));
        return new OrleansMqClientBuilder(services);
    }

    /// <summary>Registers the client with options from a configuration, such as
    /// <c>{ "Producer": { "Linger": "00:00:00.005" }, "Reader": { "MaxWait": "00:00:01" } }</c>. A setting that does not exist fails the
    /// start of the host.</summary>
    /// <inheritdoc cref="AddOrleansMqClient(IServiceCollection, Action{OrleansMqClientOptions})"/>
    /// <param name="services">The container.</param>
    /// <param name="section">A section with the properties of <see cref="OrleansMqClientOptions"/>.</param>
    [RequiresUnreferencedCode(ConfigurationSections.Reflection)]
    [RequiresDynamicCode(ConfigurationSections.Reflection)]
    public static OrleansMqClientBuilder AddOrleansMqClient(this IServiceCollection services, IConfigurationSection section)
    {
        ArgumentNullException.ThrowIfNull(section);
        return services.AddOrleansMqClient(options => ConfigurationSections.Bind(section, options));
    }

    /// <summary>Connects to the broker over HTTP.</summary>
    /// <param name="builder">The client.</param>
    /// <param name="baseAddress">The broker's address, such as <c>http://127.0.0.1:8080</c>.</param>
    /// <param name="options">Timeouts and connection limits; null for the defaults.</param>
    public static OrleansMqClientBuilder UseHttp(this OrleansMqClientBuilder builder, Uri baseAddress, HttpBrokerOptions? options = null) =>
        builder.UseHttp([baseAddress], options);

    /// <summary>Connects to a cluster over HTTP, through any of the given addresses that answers.</summary>
    /// <param name="builder">The client.</param>
    /// <param name="addresses">The addresses of some or all of its brokers.</param>
    /// <param name="options">Timeouts and connection limits; null for the defaults.</param>
    public static OrleansMqClientBuilder UseHttp(this OrleansMqClientBuilder builder, IReadOnlyList<Uri> addresses,
        HttpBrokerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.Replace(ServiceDescriptor.Singleton<IBroker>(_ => new HttpBroker(addresses, options)));
        return builder;
    }

    /// <summary>Connects over HTTP to the addresses in a configuration, such as
    /// <c>{ "Addresses": [ "http://127.0.0.1:8080" ], "RequestTimeout": "00:00:10" }</c>.</summary>
    /// <param name="builder">The client.</param>
    /// <param name="section">A section with <c>Addresses</c> and the properties of <see cref="HttpBrokerOptions"/>.</param>
    [RequiresUnreferencedCode(ConfigurationSections.Reflection)]
    [RequiresDynamicCode(ConfigurationSections.Reflection)]
    public static OrleansMqClientBuilder UseHttp(this OrleansMqClientBuilder builder, IConfigurationSection section)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(section);
        ClientRegistrations.AddValidated<ConfiguredHttp>(builder.Services, Options.Options.DefaultName, static http => http.Validate())
            .Configure(http => ConfigurationSections.Bind(section, http, http.Options));
        builder.Services.Replace(ServiceDescriptor.Singleton<IBroker>(static provider =>
        {
            var http = provider.GetRequiredService<IOptions<ConfiguredHttp>>().Value;
            return new HttpBroker(http.Addresses, http.Options);
        }));
        return builder;
    }

    /// <summary>Uses an existing broker, such as one in process. It is not disposed with the container.</summary>
    public static OrleansMqClientBuilder UseBroker(this OrleansMqClientBuilder builder, IBroker broker)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(broker);
        builder.Services.Replace(ServiceDescriptor.Singleton(broker));
        return builder;
    }

    /// <summary>
    /// Reads and writes the types of a context as JSON, wherever no serializer is given. Several contexts may be added. Call it before
    /// producers and handlers of these types are added.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="context">Source-generated metadata, such as <c>MyJson.Default</c>. Its own options count: a context without
    /// <c>[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]</c> does not find the properties of camelCase JSON.</param>
    public static OrleansMqClientBuilder UseJson(this OrleansMqClientBuilder builder, JsonSerializerContext context)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(context);
        ClientRegistrations.Of(builder.Services).Json.Add(context);
        builder.Services.Configure<OrleansMqClientOptions>(options => options.Json.Add(context));
        return builder;
    }

    /// <summary>
    /// Creates a topic when the host starts, unless it exists: see <see cref="IAdmin.EnsureTopicAsync"/>. Message handlers start
    /// afterwards, and so do hosted services that are registered later. While no broker answers, the start waits.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="name">The topic.</param>
    /// <param name="partitions">The least number of partitions; null for the broker's default.</param>
    /// <param name="configs">Kafka's configuration keys and values; null for the defaults.</param>
    /// <param name="replicationFactor">Copies of each partition; null for the cluster's default. While there are fewer brokers, the
    /// topic has fewer; the cluster adds the others when brokers join.</param>
    public static OrleansMqClientBuilder AddTopic(this OrleansMqClientBuilder builder, string name, int? partitions = null,
        IReadOnlyDictionary<string, string>? configs = null, short? replicationFactor = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrEmpty(name);
        builder.Services.AddSingleton(new DeclaredTopic(name, partitions, configs, replicationFactor));
        builder.Services.TryAddSingleton(static provider => new TopicsAtStart(provider.GetRequiredService<OrleansMqClient>(),
            provider.GetServices<DeclaredTopic>(), LoggerOf(provider, "OrleansMq.Client.Topics")));
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, TopicsAtStart>(
            static provider => provider.GetRequiredService<TopicsAtStart>()));
        return builder;
    }

    /// <summary>
    /// Registers <see cref="IProducer{TKey, TValue}"/> as a singleton. When the host stops, it sends what it holds: after the hosted
    /// services have stopped, within <c>HostOptions.ShutdownTimeout</c>. Without a host it is drained when the container is disposed
    /// asynchronously.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="options">Null for the client's options.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type.</exception>
    public static OrleansMqClientBuilder AddProducer<TKey, TValue>(this OrleansMqClientBuilder builder, ProducerOptions? options = null,
        ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        options?.Validate();
        RequireFormats<TKey, TValue>(builder, keys, values);
        builder.Services.AddSingleton(provider => provider.GetRequiredService<ProducersAtStop>().Add(
            provider.GetRequiredService<OrleansMqClient>().CreateProducer(options, keys, values)));
        return builder;
    }

    /// <summary>Registers a further <see cref="IProducer{TKey, TValue}"/> as a keyed singleton, for example one with other options:
    /// <c>[FromKeyedServices("audit")] IProducer&lt;string, Entry&gt; producer</c>.</summary>
    /// <inheritdoc cref="AddProducer{TKey, TValue}"/>
    /// <param name="builder">The client.</param>
    /// <param name="serviceKey">The key under which it is injected.</param>
    /// <param name="options">Null for the client's options.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    public static OrleansMqClientBuilder AddKeyedProducer<TKey, TValue>(this OrleansMqClientBuilder builder, object serviceKey,
        ProducerOptions? options = null, ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(serviceKey);
        options?.Validate();
        RequireFormats<TKey, TValue>(builder, keys, values);
        builder.Services.AddKeyedSingleton(serviceKey,
            (provider, _) => provider.GetRequiredService<ProducersAtStop>().Add(
                provider.GetRequiredService<OrleansMqClient>().CreateProducer(options, keys, values)));
        return builder;
    }

    /// <summary>
    /// Registers <see cref="IConsumer{TKey, TValue}"/>, a new one for each service that it is injected into. It reads nothing before it
    /// subscribes, and is closed with the container.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="options">How it reads and commits.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type.</exception>
    public static OrleansMqClientBuilder AddConsumer<TKey, TValue>(this OrleansMqClientBuilder builder, ConsumerOptions options,
        IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        RequireFormats<TKey, TValue>(builder, keys, values);
        builder.Services.AddTransient(provider => provider.GetRequiredService<OrleansMqClient>().CreateConsumer(options, keys, values));
        return builder;
    }

    /// <summary>Registers <see cref="IConsumer{TKey, TValue}"/> with options from a configuration, such as
    /// <c>{ "GroupId": "billing", "AutoOffsetReset": "Earliest" }</c>. Invalid ones fail the start of the host.</summary>
    /// <inheritdoc cref="AddConsumer{TKey, TValue}"/>
    /// <param name="builder">The client.</param>
    /// <param name="section">A section with the properties of <see cref="ConsumerOptions"/>.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    [RequiresUnreferencedCode(ConfigurationSections.Reflection)]
    [RequiresDynamicCode(ConfigurationSections.Reflection)]
    public static OrleansMqClientBuilder AddConfiguredConsumer<TKey, TValue>(this OrleansMqClientBuilder builder,
        IConfigurationSection section, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(section);
        RequireFormats<TKey, TValue>(builder, keys, values);
        ClientRegistrations.AddValidated<ConfiguredConsumer>(builder.Services, section.Path, static consumer => consumer.Options.Validate())
            .Configure(consumer => consumer.Options = ConfigurationSections.BindConsumer(section, consumer.Options));
        builder.Services.AddTransient(provider => provider.GetRequiredService<OrleansMqClient>().CreateConsumer(
            provider.GetRequiredService<IOptionsMonitor<ConfiguredConsumer>>().Get(section.Path).Options, keys, values));
        return builder;
    }

    private static ILogger LoggerOf(IServiceProvider services, string category) =>
        (services.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance).CreateLogger(category);

    private static void RequireFormats<TKey, TValue>(OrleansMqClientBuilder builder, object? keys, object? values)
    {
        var registrations = ClientRegistrations.Of(builder.Services);
        registrations.RequireFormat<TKey>(keys);
        registrations.RequireFormat<TValue>(values);
    }
}

/// <summary>Configures a registered client.</summary>
/// <param name="services">The container.</param>
public sealed class OrleansMqClientBuilder(IServiceCollection services)
{
    /// <summary>The container.</summary>
    public IServiceCollection Services { get; } = services;
}
