using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Client.Http;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers the client library.</summary>
public static class OrleansMqClientServiceCollectionExtensions
{
    /// <summary>
    /// Registers <see cref="OrleansMqClient"/> and <see cref="IAdmin"/> over the <see cref="IBroker"/> in the container. That broker is one
    /// the host registers itself (a broker in process, an Orleans silo or client), or comes from
    /// <see cref="UseHttp(OrleansMqClientBuilder, Uri, HttpBrokerOptions)"/> or <see cref="UseBroker"/>.
    /// <code>services.AddOrleansMqClient().UseHttp(new Uri("http://127.0.0.1:8080"))
    ///     .AddProducer&lt;string, Order&gt;(values: Serdes.Json(MyJson.Default.Order));</code>
    /// </summary>
    /// <param name="services">The container.</param>
    /// <param name="configure">Sets the options for producers and readers that are created without any.</param>
    public static OrleansMqClientBuilder AddOrleansMqClient(this IServiceCollection services,
        Action<OrleansMqClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        var options = new OrleansMqClientOptions();
        configure?.Invoke(options);
        services.TryAddSingleton(provider => new OrleansMqClient(
            provider.GetService<IBroker>() ?? throw new InvalidOperationException(
                "AddOrleansMqClient() found no broker. Add .UseHttp(uri), .UseBroker(broker), or register an IBroker."),
            options, provider.GetService<ILoggerFactory>()));
        services.TryAddSingleton(provider => provider.GetRequiredService<OrleansMqClient>().Admin);
        return new OrleansMqClientBuilder(services);
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

    /// <summary>Uses an existing broker, such as one in process. It is not disposed with the container.</summary>
    public static OrleansMqClientBuilder UseBroker(this OrleansMqClientBuilder builder, IBroker broker)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(broker);
        builder.Services.Replace(ServiceDescriptor.Singleton(broker));
        return builder;
    }

    /// <summary>
    /// Registers <see cref="IProducer{TKey, TValue}"/> as a singleton, which is drained when the container is disposed asynchronously.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="options">Null for the client's options.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type.</param>
    public static OrleansMqClientBuilder AddProducer<TKey, TValue>(this OrleansMqClientBuilder builder, ProducerOptions? options = null,
        ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddSingleton(provider => provider.GetRequiredService<OrleansMqClient>().CreateProducer(options, keys, values));
        return builder;
    }

    /// <summary>
    /// Runs a handler while the host runs. <typeparamref name="THandler"/> is resolved in a new scope for each record, and once at the
    /// start, which fails if a dependency is missing. A record whose handler cannot be created later is retried; then its partition stops,
    /// whatever <see cref="MessageHandlingOptions.OnFailure"/> says. The handler is drained when the host stops, so set
    /// <c>HostOptions.ShutdownTimeout</c> to at least <see cref="ConsumerOptions.DrainTimeout"/>.
    /// <code>services.AddOrleansMqClient().UseHttp(uri).AddMessageHandler&lt;string, Order, Billing&gt;(
    ///     new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
    ///     new() { Topics = ["orders"] }, values: Serdes.Json(MyJson.Default.Order));</code>
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="consumer">How it reads and commits.</param>
    /// <param name="handling">Which topics it reads, and how records are handled.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    public static OrleansMqClientBuilder AddMessageHandler<TKey, TValue, THandler>(this OrleansMqClientBuilder builder,
        ConsumerOptions consumer, MessageHandlingOptions handling, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null)
        where THandler : class, IMessageHandler<TKey, TValue>
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.TryAddScoped<THandler>();
        builder.Services.AddSingleton<IHostedService>(provider =>
            new MessageHandlerService<TKey, TValue, THandler>(provider.GetRequiredService<IServiceScopeFactory>(),
            handle => provider.GetRequiredService<OrleansMqClient>().CreateProcessor(consumer, handling, handle, keys, values)));
        return builder;
    }

    /// <summary>Runs a handler that ignores keys. See <see cref="AddMessageHandler{TKey, TValue, THandler}"/>.</summary>
    /// <inheritdoc cref="AddMessageHandler{TKey, TValue, THandler}"/>
    public static OrleansMqClientBuilder AddMessageHandler<TValue, THandler>(this OrleansMqClientBuilder builder, ConsumerOptions consumer,
        MessageHandlingOptions handling, IDeserializer<TValue>? values = null)
        where THandler : class, IMessageHandler<TValue> =>
        builder.AddMessageHandler<Ignore, TValue, THandler>(consumer, handling, null, values);
}

/// <summary>Configures a registered client.</summary>
/// <param name="services">The container.</param>
public sealed class OrleansMqClientBuilder(IServiceCollection services)
{
    /// <summary>The container.</summary>
    public IServiceCollection Services { get; } = services;
}
