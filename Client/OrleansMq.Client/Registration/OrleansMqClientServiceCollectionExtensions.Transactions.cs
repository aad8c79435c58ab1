using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;

namespace Microsoft.Extensions.DependencyInjection;

/// <content>Transactions.</content>
public static partial class OrleansMqClientServiceCollectionExtensions
{
    /// <summary>Registers <see cref="ITransactionalProducer{TKey, TValue}"/> as a singleton. When the container is disposed, it aborts what
    /// it has open.</summary>
    /// <param name="builder">The client.</param>
    /// <param name="transactionalId">The transactional id, which no other live process has: such as the name of the pod.</param>
    /// <param name="options">Timeouts, and how records are sent; null for the defaults.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">The id is not valid, or registered already, or an option is out of its range; the message names
    /// it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type.</exception>
    public static OrleansMqClientBuilder AddTransactionalProducer<TKey, TValue>(this OrleansMqClientBuilder builder, string transactionalId,
        TransactionalProducerOptions? options = null, ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null)
    {
        Require<TKey, TValue>(builder, transactionalId, options, keys, values);
        builder.Services.AddSingleton(provider => provider.GetRequiredService<OrleansMqClient>().CreateTransactionalProducer(
            transactionalId, options, keys, values));
        return builder;
    }

    /// <summary>Registers a further <see cref="ITransactionalProducer{TKey, TValue}"/> as a keyed singleton: each has one open transaction
    /// at a time, so those that work side by side need one each.</summary>
    /// <inheritdoc cref="AddTransactionalProducer{TKey, TValue}"/>
    /// <param name="builder">The client.</param>
    /// <param name="serviceKey">The key under which it is injected.</param>
    /// <param name="transactionalId">The transactional id, which no other live process has: such as the name of the pod.</param>
    /// <param name="options">Timeouts, and how records are sent; null for the defaults.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    public static OrleansMqClientBuilder AddKeyedTransactionalProducer<TKey, TValue>(this OrleansMqClientBuilder builder, object serviceKey,
        string transactionalId, TransactionalProducerOptions? options = null, ISerializer<TKey>? keys = null,
        ISerializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(serviceKey);
        Require<TKey, TValue>(builder, transactionalId, options, keys, values);
        builder.Services.AddKeyedSingleton(serviceKey, (provider, _) => provider.GetRequiredService<OrleansMqClient>()
            .CreateTransactionalProducer(transactionalId, options, keys, values));
        return builder;
    }

    /// <summary>
    /// Reads topics, passes each record to a handler, and writes what it returns, exactly once, while the host runs: see
    /// <see cref="OrleansMqClient.ProcessAsync"/>. <typeparamref name="THandler"/> is resolved in a new scope for each record, and once at
    /// the start, which fails if a dependency is missing. When the host stops, what was handled is committed. Where the loop ends with an
    /// exception, the host stops.
    /// <code>services.AddOrleansMqClient().UseHttp(uri).AddTransactionalHandler&lt;string, string, string, string, Invoicing&gt;(
    ///     new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
    ///     new() { Topics = ["orders"], TransactionalId = "billing-1" });</code>
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="consumer">The group, and how it is read. Only committed records are read, and offsets are committed by the
    /// transactions alone.</param>
    /// <param name="processing">The topics and the transactions.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="resultKeys">Serializes keys of results; null for the built-in format of the type, or that of
    /// <see cref="UseJson"/>.</param>
    /// <param name="resultValues">Serializes values of results; null for the built-in format of the type, or that of
    /// <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">There is no group, the transactional id is not valid, or registered already, or an option is
    /// out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type.</exception>
    public static OrleansMqClientBuilder AddTransactionalHandler<TKey, TValue, TResultKey, TResultValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(this OrleansMqClientBuilder builder,
        ConsumerOptions consumer, TransactionalProcessingOptions processing, IDeserializer<TKey>? keys = null,
        IDeserializer<TValue>? values = null, ISerializer<TResultKey>? resultKeys = null, ISerializer<TResultValue>? resultValues = null)
        where THandler : class, ITransactionalHandler<TKey, TValue, TResultKey, TResultValue>
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(consumer);
        ArgumentNullException.ThrowIfNull(processing);
        consumer.Validate();
        processing.Validate();
        OrleansMqClient.RequireGroup(consumer);
        RequireFormats<TKey, TValue>(builder, keys, values);
        RequireFormats<TResultKey, TResultValue>(builder, resultKeys, resultValues);
        if (processing.TransactionalId is { } transactionalId)
            ClientRegistrations.Of(builder.Services).TakeTransactionalId(transactionalId);
        builder.Services.TryAddScoped<THandler>();
        builder.Services.AddSingleton<IHostedService>(provider =>
            new TransactionalHandlerService<TKey, TValue, TResultKey, TResultValue, THandler>(
                provider.GetRequiredService<IServiceScopeFactory>(), provider.GetService<TopicsAtStart>(), (handle, stopping) =>
                    provider.GetRequiredService<OrleansMqClient>().ProcessAsync(consumer, processing, handle, keys, values, resultKeys,
                        resultValues, stopping)));
        return builder;
    }

    private static void Require<TKey, TValue>(OrleansMqClientBuilder builder, string transactionalId, TransactionalProducerOptions? options,
        object? keys, object? values)
    {
        ArgumentNullException.ThrowIfNull(builder);
        options?.Validate();
        RequireFormats<TKey, TValue>(builder, keys, values);
        ClientRegistrations.Of(builder.Services).TakeTransactionalId(transactionalId);
    }
}
