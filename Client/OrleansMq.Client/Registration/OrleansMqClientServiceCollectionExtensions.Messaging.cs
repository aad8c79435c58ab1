using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection.Extensions;
using OrleansMq.Client;

namespace Microsoft.Extensions.DependencyInjection;

/// <content>Requests, replies and broadcasts.</content>
public static partial class OrleansMqClientServiceCollectionExtensions
{
    /// <summary>Registers an <see cref="IRequester{TKey, TRequest, TReply}"/> as a singleton.</summary>
    /// <param name="builder">The client.</param>
    /// <param name="options">The topics, and how long a request waits.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="requests">Serializes requests; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="replies">Deserializes replies; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type.</exception>
    public static OrleansMqClientBuilder AddRequester<TKey, TRequest, TReply>(this OrleansMqClientBuilder builder,
        RequesterOptions options, ISerializer<TKey>? keys = null, ISerializer<TRequest>? requests = null,
        IDeserializer<TReply>? replies = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        RequireFormats<TKey, TRequest>(builder, keys, requests);
        ClientRegistrations.Of(builder.Services).RequireFormat<TReply>(replies);
        builder.Services.AddSingleton(provider => provider.GetRequiredService<OrleansMqClient>().CreateRequester(options, keys, requests,
            replies));
        return builder;
    }

    /// <summary>Registers an <see cref="IResponder{TReply}"/> as a singleton, with which grains and consumers of queues answer
    /// requests.</summary>
    /// <param name="builder">The client.</param>
    /// <param name="options">How replies are sent; null for the client's options.</param>
    /// <param name="replies">Serializes replies; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for the type.</exception>
    public static OrleansMqClientBuilder AddResponder<TReply>(this OrleansMqClientBuilder builder, ProducerOptions? options = null,
        ISerializer<TReply>? replies = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        options?.Validate();
        ClientRegistrations.Of(builder.Services).RequireFormat<TReply>(replies);
        builder.Services.AddSingleton(provider => provider.GetRequiredService<OrleansMqClient>().CreateResponder(options, replies));
        return builder;
    }

    /// <summary>
    /// Runs a handler of requests while the host runs, as <see cref="AddMessageHandler{TKey, TValue, THandler}"/> does. Its group shares
    /// the requests. Replies are sent by the registered <see cref="IResponder{TReply}"/>: call <see cref="AddResponder"/> before. A request
    /// that fails is answered with the error, and is neither retried nor a dead letter. A record that asks for no reply is handled as any
    /// message.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="consumer">How it reads and commits.</param>
    /// <param name="handling">Which topics it reads, and how many requests it handles at once.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="requests">Deserializes requests; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type, or no responder.</exception>
    public static OrleansMqClientBuilder AddRequestHandler<TKey, TRequest, TReply,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(this OrleansMqClientBuilder builder,
        ConsumerOptions consumer, MessageHandlingOptions handling, IDeserializer<TKey>? keys = null,
        IDeserializer<TRequest>? requests = null)
        where THandler : class, IRequestHandler<TKey, TRequest, TReply>
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(consumer);
        ArgumentNullException.ThrowIfNull(handling);
        consumer.Validate();
        handling.Validate();
        RequireFormats<TKey, TRequest>(builder, keys, requests);
        if (!builder.Services.Any(static service => service.ServiceType == typeof(IResponder<TReply>)))
            throw new InvalidOperationException($"There is no responder for {typeof(THandler)}. Call AddResponder<{typeof(TReply).Name}>() "
                + "before AddRequestHandler.");
        return AddHandler<byte[]?, byte[]?, THandler>(builder, options => (options.Consumer, options.Handling) = (consumer, handling),
            (scope, client) => new RequestMessageHandler<TKey, TRequest, TReply>(scope.GetRequiredService<THandler>(),
                scope.GetRequiredService<IResponder<TReply>>(), keys ?? client.Format<TKey>(), requests ?? client.Format<TRequest>()),
            null, null);
    }

    /// <summary>
    /// Passes every message of a topic to a handler while the host runs: each silo, and each other process that registers it, receives all
    /// of them, see <see cref="BroadcastSubscription{TKey, TValue}"/>. The start of the host completes when the subscription is answered,
    /// and fails where the topic does not exist. <see cref="IHostedMessageHandler"/> shows its state.
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="options">Which topic, and how messages are handled.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type, or that of <see cref="UseJson"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no format for a type.</exception>
    public static OrleansMqClientBuilder AddBroadcastHandler<TKey, TValue,
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(this OrleansMqClientBuilder builder,
        BroadcastOptions options, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null)
        where THandler : class, IMessageHandler<TKey, TValue>
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        RequireFormats<TKey, TValue>(builder, keys, values);
        var name = ClientRegistrations.Of(builder.Services).NameFor(typeof(THandler));
        builder.Services.TryAddScoped<THandler>();
        builder.Services.AddKeyedSingleton<IHostedMessageHandler>(name, (provider, _) =>
        {
            BroadcastReading? reading = null;
            return new MessageHandlerService<TKey, TValue>(name, typeof(THandler), static scope => scope.GetRequiredService<THandler>(),
                provider.GetRequiredService<IServiceScopeFactory>(), handle =>
                {
                    var client = provider.GetRequiredService<OrleansMqClient>();
                    reading = client.CreateBroadcastReading(options);
                    return client.CreateBroadcastProcessor(options, reading, handle, keys, values);
                }, provider.GetService<TopicsAtStart>(),
                (processor, cancellationToken) => reading!.StartAsync(processor, cancellationToken));
        });
        return AddHosted(builder, name);
    }
}
