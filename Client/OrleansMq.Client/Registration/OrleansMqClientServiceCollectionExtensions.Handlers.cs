using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using OrleansMq.Client;

namespace Microsoft.Extensions.DependencyInjection;

/// <content>Message handlers.</content>
public static partial class OrleansMqClientServiceCollectionExtensions
{
    /// <summary>
    /// Runs a handler while the host runs. <typeparamref name="THandler"/> is resolved in a new scope for each record, and once at the
    /// start, which fails if a dependency is missing. A record whose handler cannot be created later is retried; then its partition stops,
    /// whatever <see cref="MessageHandlingOptions.OnFailure"/> says. The handler is drained when the host stops, so set
    /// <c>HostOptions.ShutdownTimeout</c> to at least <see cref="ConsumerOptions.DrainTimeout"/>.
    /// <code>services.AddOrleansMqClient().UseHttp(uri).UseJson(MyJson.Default).AddMessageHandler&lt;string, Order, Billing&gt;(
    ///     new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
    ///     new() { Topics = ["orders"] });</code>
    /// <c>services.Configure&lt;MessageHandlerOptions&gt;("Billing", ...)</c> changes its options. <see cref="IHostedMessageHandler"/>
    /// shows its state.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="consumer">How it reads and commits.</param>
    /// <param name="handling">Which topics it reads, and how records are handled.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type.</exception>
    public static OrleansMqClientBuilder AddMessageHandler<TKey, TValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(this OrleansMqClientBuilder builder,
        ConsumerOptions consumer, MessageHandlingOptions handling, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null)
        where THandler : class, IMessageHandler<TKey, TValue>
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(consumer);
        ArgumentNullException.ThrowIfNull(handling);
        consumer.Validate();
        handling.Validate();
        return AddHandler<TKey, TValue, THandler>(builder, options => (options.Consumer, options.Handling) = (consumer, handling), keys,
            values);
    }

    /// <summary>Runs a handler with options from a configuration, such as
    /// <c>{ "GroupId": "billing", "AutoOffsetReset": "Earliest", "Topics": [ "orders" ], "Parallelism": "Key" }</c>. Invalid ones fail the
    /// start of the host.</summary>
    /// <inheritdoc cref="AddMessageHandler{TKey, TValue, THandler}"/>
    /// <param name="builder">The client.</param>
    /// <param name="section">A section with the properties of <see cref="ConsumerOptions"/> and of
    /// <see cref="MessageHandlingOptions"/>.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    [RequiresUnreferencedCode(ConfigurationSections.Reflection)]
    [RequiresDynamicCode(ConfigurationSections.Reflection)]
    public static OrleansMqClientBuilder AddConfiguredMessageHandler<TKey, TValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(this OrleansMqClientBuilder builder,
        IConfigurationSection section, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null)
        where THandler : class, IMessageHandler<TKey, TValue>
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(section);
        return AddHandler<TKey, TValue, THandler>(builder, options =>
            options.Consumer = ConfigurationSections.BindConsumer(section, options.Consumer, options.Handling), keys, values);
    }

    /// <summary>Runs a handler that ignores keys. See <see cref="AddMessageHandler{TKey, TValue, THandler}"/>.</summary>
    /// <inheritdoc cref="AddMessageHandler{TKey, TValue, THandler}"/>
    public static OrleansMqClientBuilder AddMessageHandler<TValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(this OrleansMqClientBuilder builder,
        ConsumerOptions consumer,
        MessageHandlingOptions handling, IDeserializer<TValue>? values = null)
        where THandler : class, IMessageHandler<TValue> =>
        builder.AddMessageHandler<Ignore, TValue, THandler>(consumer, handling, null, values);

    /// <summary>Runs a handler that ignores keys, with options from a configuration.</summary>
    /// <inheritdoc cref="AddConfiguredMessageHandler{TKey, TValue, THandler}"/>
    [RequiresUnreferencedCode(ConfigurationSections.Reflection)]
    [RequiresDynamicCode(ConfigurationSections.Reflection)]
    public static OrleansMqClientBuilder AddConfiguredMessageHandler<TValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(this OrleansMqClientBuilder builder,
        IConfigurationSection section, IDeserializer<TValue>? values = null)
        where THandler : class, IMessageHandler<TValue> =>
        builder.AddConfiguredMessageHandler<Ignore, TValue, THandler>(section, null, values);

    private static OrleansMqClientBuilder AddHandler<TKey, TValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(OrleansMqClientBuilder builder,
        Action<MessageHandlerOptions> configure, IDeserializer<TKey>? keys, IDeserializer<TValue>? values)
        where THandler : class, IMessageHandler<TKey, TValue> =>
        AddHandler<TKey, TValue, THandler>(builder, configure, static (scope, _) => scope.GetRequiredService<THandler>(), keys, values);

    private static OrleansMqClientBuilder AddHandler<TKey, TValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(OrleansMqClientBuilder builder,
        Action<MessageHandlerOptions> configure, Func<IServiceProvider, OrleansMqClient, IMessageHandler<TKey, TValue>> resolve,
        IDeserializer<TKey>? keys, IDeserializer<TValue>? values)
        where THandler : class
    {
        RequireFormats<TKey, TValue>(builder, keys, values);
        var services = builder.Services;
        var name = ClientRegistrations.Of(services).NameFor(typeof(THandler));
        ClientRegistrations.AddValidated<MessageHandlerOptions>(services, name, static options => options.Validate()).Configure(configure);
        services.TryAddScoped<THandler>();
        services.AddKeyedSingleton<IHostedMessageHandler>(name, (provider, _) =>
            new MessageHandlerService<TKey, TValue>(name, typeof(THandler),
                scope => resolve(scope, provider.GetRequiredService<OrleansMqClient>()),
                provider.GetRequiredService<IServiceScopeFactory>(), handle =>
                {
                    var options = provider.GetRequiredService<IOptionsMonitor<MessageHandlerOptions>>().Get(name);
                    return provider.GetRequiredService<OrleansMqClient>().CreateContextProcessor(options.Consumer, options.Handling, handle,
                        keys, values);
                }, provider.GetService<TopicsAtStart>()));
        return AddHosted(builder, name);
    }

    /// <summary>Lets the host run a handler that is registered by its name.</summary>
    private static OrleansMqClientBuilder AddHosted(OrleansMqClientBuilder builder, string name)
    {
        builder.Services.AddSingleton(provider => provider.GetRequiredKeyedService<IHostedMessageHandler>(name));
        builder.Services.AddSingleton(provider => (IHostedService)provider.GetRequiredKeyedService<IHostedMessageHandler>(name));
        return builder;
    }
}
