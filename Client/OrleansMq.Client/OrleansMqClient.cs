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
    // Replies are small, and read at once.
    private const int ReplyPrefetchBytes = 1 << 20;

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

    /// <summary>Creates a producer of transactions. It begins nothing before its first transaction.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> for records without keys.</typeparam>
    /// <typeparam name="TValue">The type of values.</typeparam>
    /// <param name="transactionalId">The id: 1 to 255 characters without control characters. One instance at a time has it; an instance
    /// that restarts keeps it, so that it ends what it has left open.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">The id is not valid, or an option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public ITransactionalProducer<TKey, TValue> CreateTransactionalProducer<TKey, TValue>(string transactionalId,
        TransactionalProducerOptions? options = null, ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null) =>
        new TransactionalProducer<TKey, TValue>(CreateTransactions(transactionalId, options), keys ?? Format<TKey>(),
            values ?? Format<TValue>(), this);

    /// <summary>
    /// Reads topics as a member of a group, and writes what a handler makes of each record: exactly once. Results and offsets are one
    /// transaction, so each record has its effect in the topics once, although processes and brokers die anywhere. Records of a partition
    /// are handled in order, one at a time; for more in parallel run several loops, each with its own transactional id.
    /// <code>
    /// await client.ProcessAsync&lt;string, string, string, string&gt;(
    ///     new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
    ///     new() { Topics = ["orders"], TransactionalId = "billing-1" },
    ///     (order, stopping) => new([new("invoices", order.Key, Bill(order.Value))]),
    ///     cancellationToken: stopping);
    /// </code>
    /// <para><b>Failures.</b> A handler that throws has its transaction aborted, and the records are handled again, at most
    /// <see cref="TransactionalProcessingOptions.MaxAttempts"/> times in a row. A record that cannot be handled is best written elsewhere:
    /// a
    /// handler that catches its own exception and returns a record for another topic sets it aside, exactly once. What a handler does
    /// besides returning results is not part of the transaction.</para>
    /// </summary>
    /// <typeparam name="TKey">The type of keys that are read.</typeparam>
    /// <typeparam name="TValue">The type of values that are read.</typeparam>
    /// <typeparam name="TResultKey">The type of keys that are written.</typeparam>
    /// <typeparam name="TResultValue">The type of values that are written.</typeparam>
    /// <param name="consumer">The group, and how it is read. Only committed records are read, and offsets are committed by the
    /// transactions alone.</param>
    /// <param name="options">The topics and the transactions.</param>
    /// <param name="handle">Returns the records to write for one record; null and empty for none.</param>
    /// <param name="cancellationToken">Ends the loop: it commits what it has handled, leaves the group and completes.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <param name="resultKeys">Serializes keys of results; null for the built-in format of the type.</param>
    /// <param name="resultValues">Serializes values of results; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="ProducerFencedException">Another loop has taken over the transactional id.</exception>
    /// <exception cref="ConsumerGroupException">The consumer cannot be a member of its group (any more).</exception>
    /// <exception cref="ConsumeException">A partition cannot be read any further.</exception>
    /// <exception cref="DeserializationException">A key or value cannot be read. With bytes as the type, the handler can set it
    /// aside.</exception>
    /// <exception cref="TransactionException">Transactions failed too often by what the handler wrote. A handler that fails too often ends
    /// the
    /// loop with its own exception.</exception>
    public async Task ProcessAsync<TKey, TValue, TResultKey, TResultValue>(ConsumerOptions consumer, TransactionalProcessingOptions options,
        Func<ConsumeResult<TKey, TValue>, CancellationToken, ValueTask<IEnumerable<ProducerRecord<TResultKey, TResultValue>>>> handle,
        IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null, ISerializer<TResultKey>? resultKeys = null,
        ISerializer<TResultValue>? resultValues = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(consumer);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(handle);
        options.Validate();
        RequireGroup(consumer);
        var consuming = consumer with
        {
            AutoCommit = false,
            Reader = (consumer.Reader ?? _options.Reader) with { Isolation = IsolationLevel.ReadCommitted },
        };
        var transactions = CreateTransactions(options.TransactionalId ?? $"{consumer.GroupId}-{Guid.NewGuid():n}", options.Producer);
        var processor = new TransactionalProcessor<TKey, TValue, TResultKey, TResultValue>(
            listener => new Consumer<TKey, TValue>(Broker, consuming with { RebalanceListener = listener }, keys ?? Format<TKey>(),
                values ?? Format<TValue>(), _loggers.CreateLogger("OrleansMq.Client.Consumer")),
            consuming, transactions, options, handle, resultKeys ?? Format<TResultKey>(), resultValues ?? Format<TResultValue>(),
            _loggers.CreateLogger("OrleansMq.Client.TransactionalProcessor"));
        await using (processor.ConfigureAwait(false))
            await processor.RunAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Refuses a loop of transactions without a group.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    internal static void RequireGroup(ConsumerOptions consumer)
    {
        if (consumer.GroupId is null)
        {
            throw new ArgumentException("ConsumerOptions.GroupId has to be set: the group keeps the offsets of what was handled.",
                nameof(consumer));
        }
    }

    private TransactionSequence CreateTransactions(string transactionalId, TransactionalProducerOptions? options)
    {
        if (TransactionalId.FindProblem(transactionalId) is { } problem)
            throw new ArgumentException(problem, nameof(transactionalId));
        options ??= new TransactionalProducerOptions();
        options.Validate();
        var producer = options.ProducerOr(_options.Producer);
        var caller = new TransactionCaller($"OrleansMq client at {Environment.MachineName}, process {Environment.ProcessId}");
        return new TransactionSequence(new TransactionCoordination(Broker, transactionalId, options, producer, caller), producer,
            _loggers.CreateLogger("OrleansMq.Client.TransactionalProducer"));
    }

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

    /// <summary>Creates a requester. One is enough for a whole process.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> for requests without keys.</typeparam>
    /// <typeparam name="TRequest">The type of requests.</typeparam>
    /// <typeparam name="TReply">The type of replies.</typeparam>
    /// <param name="options">The topics, and how long a request waits.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="requests">Serializes requests; null for the built-in format of the type.</param>
    /// <param name="replies">Deserializes replies, also at once; null for the built-in format of the type.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public IRequester<TKey, TRequest, TReply> CreateRequester<TKey, TRequest, TReply>(RequesterOptions options,
        ISerializer<TKey>? keys = null, ISerializer<TRequest>? requests = null, IDeserializer<TReply>? replies = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new Requester<TKey, TRequest, TReply>(Broker, options, options.Producer ?? _options.Producer,
            options.Reader ?? _options.Reader with { PrefetchBytes = ReplyPrefetchBytes }, keys ?? Format<TKey>(),
            requests ?? Format<TRequest>(), replies ?? Format<TReply>(), _loggers.CreateLogger("OrleansMq.Client.Requester"));
    }

    /// <summary>Creates a responder, which answers requests wherever they are consumed. One is enough for a whole process.</summary>
    /// <typeparam name="TReply">The type of replies.</typeparam>
    /// <param name="options">How replies are sent; null for the client's options.</param>
    /// <param name="replies">Serializes replies; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public IResponder<TReply> CreateResponder<TReply>(ProducerOptions? options = null, ISerializer<TReply>? replies = null) =>
        new Responder<TReply>(Broker, options ?? _options.Producer, replies ?? Format<TReply>(),
            _loggers.CreateLogger("OrleansMq.Client.Responder"));

    /// <summary>Subscribes to every message of a topic from now on. When the call completes, the end of every partition is known: each
    /// message that is published afterwards is received. While no broker answers, the call waits.</summary>
    /// <typeparam name="TKey">The type of keys; <see cref="Ignore"/> to skip them.</typeparam>
    /// <typeparam name="TValue">The type of values.</typeparam>
    /// <param name="options">Which topic, and how messages are handled.</param>
    /// <param name="handle">Handles one message. One that throws is called again, and the message is skipped in the end.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <param name="cancellationToken">Ends the wait; nothing is subscribed then.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    /// <exception cref="BrokerException">The topic does not exist, or must not be read.</exception>
    public async Task<BroadcastSubscription<TKey, TValue>> SubscribeBroadcastAsync<TKey, TValue>(BroadcastOptions options,
        Func<ConsumeResult<TKey, TValue>, CancellationToken, ValueTask> handle, IDeserializer<TKey>? keys = null,
        IDeserializer<TValue>? values = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(handle);
        var reading = CreateBroadcastReading(options);
        var processor = CreateBroadcastProcessor<TKey, TValue>(options, reading,
            (message, stopping) => handle(message.Record, stopping), keys, values);
        try
        {
            await reading.StartAsync(processor, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await processor.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        return new BroadcastSubscription<TKey, TValue>(reading, processor);
    }

    internal BroadcastReading CreateBroadcastReading(BroadcastOptions options)
    {
        options.Validate();
        return new BroadcastReading(Broker, options.Topic, options.Reader ?? _options.Reader,
            _loggers.CreateLogger("OrleansMq.Client.Broadcast"));
    }

    internal MessageProcessor<TKey, TValue> CreateBroadcastProcessor<TKey, TValue>(BroadcastOptions options, BroadcastReading reading,
        Func<MessageContext<TKey, TValue>, CancellationToken, ValueTask> handle, IDeserializer<TKey>? keys,
        IDeserializer<TValue>? values) =>
        CreateContextProcessor(options.ConsumerOptionsWith(reading.GoOn) with { RebalanceListener = reading }, options.HandlingOptions,
            handle, keys, values);

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
