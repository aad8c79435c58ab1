using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// The entry point to a broker: creates producers, readers and consumers over one <see cref="IBroker"/>, be it in process, over HTTP or
/// over Orleans. Thread-safe. The caller disposes what it creates here; the creator of the broker disposes the broker.
/// <code>
/// using var broker = new HttpBroker(new Uri("http://127.0.0.1:8080"));
/// var client = new OrleansMqClient(broker);
/// await using var producer = client.CreateProducer&lt;string, string&gt;();
/// var report = await producer.SendAsync(new("orders", "customer-7", "two apples"));
/// </code>
/// </summary>
public sealed class OrleansMqClient
{
    private readonly ILoggerFactory _loggers;
    private readonly OrleansMqClientOptions _options;

    /// <summary>Creates a client over a broker.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="options">Options for producers and readers that are created without any; null for the defaults.</param>
    /// <param name="loggers">Creates their loggers; null for no logging.</param>
    public OrleansMqClient(IBroker broker, OrleansMqClientOptions? options = null, ILoggerFactory? loggers = null)
    {
        ArgumentNullException.ThrowIfNull(broker);
        Broker = broker;
        _options = options ?? new OrleansMqClientOptions();
        _loggers = loggers ?? NullLoggerFactory.Instance;
    }

    /// <summary>The broker itself, for raw batches in both directions, and for its schedules.</summary>
    public IBroker Broker { get; }

    /// <summary>Administration of topics, offsets and the cluster.</summary>
    public IAdmin Admin => field ??= new Admin(Broker);

    /// <summary>Creates a producer. One is enough for a whole process.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> for records without keys.</typeparam>
    /// <typeparam name="TValue">The type of values.</typeparam>
    /// <param name="options">Null for the client's options.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public IProducer<TKey, TValue> CreateProducer<TKey, TValue>(ProducerOptions? options = null, ISerializer<TKey>? keys = null,
        ISerializer<TValue>? values = null) =>
        new Producer<TKey, TValue>(Broker, keys ?? Format<TKey>(), values ?? Format<TValue>(), options ?? _options.Producer,
            _loggers.CreateLogger("OrleansMq.Client.Producer"));

    /// <summary>Creates a partition reader. Use one per reading loop.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> to skip them.</typeparam>
    /// <typeparam name="TValue">The type of values.</typeparam>
    /// <param name="options">Null for the client's options.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public IPartitionReader<TKey, TValue> CreatePartitionReader<TKey, TValue>(ReaderOptions? options = null,
        IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null) =>
        new PartitionReader<TKey, TValue>(Broker, keys ?? Format<TKey>(), values ?? Format<TValue>(), options ?? _options.Reader,
            _loggers.CreateLogger("OrleansMq.Client.PartitionReader"));

    /// <summary>Creates a consumer. Use one per reading loop.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> to skip them.</typeparam>
    /// <typeparam name="TValue">The type of values.</typeparam>
    /// <param name="options">How it reads and commits. Without <see cref="ConsumerOptions.Reader"/> it uses the client's reader
    /// options.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public IConsumer<TKey, TValue> CreateConsumer<TKey, TValue>(ConsumerOptions options, IDeserializer<TKey>? keys = null,
        IDeserializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new Consumer<TKey, TValue>(Broker, options with { Reader = options.Reader ?? _options.Reader },
            keys ?? Format<TKey>(), values ?? Format<TValue>(), _loggers.CreateLogger("OrleansMq.Client.Consumer"));
    }

    /// <summary>Creates a consumer of a queue. It attaches at once, and receives up to its credit.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> to skip them.</typeparam>
    /// <typeparam name="TValue">The type of values.</typeparam>
    /// <param name="options">Which queue, and how it is consumed.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public IQueueConsumer<TKey, TValue> CreateQueueConsumer<TKey, TValue>(QueueConsumerOptions options, IDeserializer<TKey>? keys = null,
        IDeserializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new QueueConsumer<TKey, TValue>(Broker, options, keys ?? Format<TKey>(), values ?? Format<TValue>(),
            _loggers.CreateLogger("OrleansMq.Client.QueueConsumer"));
    }

    /// <summary>Creates a consumer that passes its records to a handler. Call Start to begin and StopAsync to end.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> to skip them.</typeparam>
    /// <typeparam name="TValue">The type of values.</typeparam>
    /// <param name="consumer">How it reads and commits.</param>
    /// <param name="handling">Which topics it reads, and how records are handled.</param>
    /// <param name="handle">Handles one record.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public MessageProcessor<TKey, TValue> CreateProcessor<TKey, TValue>(ConsumerOptions consumer, MessageHandlingOptions handling,
        Func<ConsumeResult<TKey, TValue>, CancellationToken, ValueTask> handle, IDeserializer<TKey>? keys = null,
        IDeserializer<TValue>? values = null)
    {
        ArgumentNullException.ThrowIfNull(handle);
        return CreateContextProcessor<TKey, TValue>(consumer, handling,
            (message, cancellationToken) => handle(message.Record, cancellationToken), keys, values);
    }

    internal MessageProcessor<TKey, TValue> CreateContextProcessor<TKey, TValue>(ConsumerOptions consumer, MessageHandlingOptions handling,
        Func<MessageContext<TKey, TValue>, CancellationToken, ValueTask> handle, IDeserializer<TKey>? keys,
        IDeserializer<TValue>? values)
    {
        ArgumentNullException.ThrowIfNull(consumer);
        ArgumentNullException.ThrowIfNull(handling);
        return new MessageProcessor<TKey, TValue>(Broker, consumer with { Reader = consumer.Reader ?? _options.Reader },
            handling with { DeadLetterProducer = handling.DeadLetterProducer ?? _options.Producer }, handle,
            keys ?? Format<TKey>(), values ?? Format<TValue>(), _loggers.CreateLogger("OrleansMq.Client.MessageProcessor"));
    }

    /// <summary>The format of a type for which none is given.</summary>
    internal ISerde<T> Format<T>() => Serdes.Find<T>(_options.Json);
}
