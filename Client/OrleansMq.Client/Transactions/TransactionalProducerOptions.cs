namespace OrleansMq.Client;

/// <summary>Options of a transactional producer.</summary>
public sealed record TransactionalProducerOptions
{
    /// <summary>How long a transaction may be open before the broker aborts it: 1 minute by default, above zero, and at most the broker's
    /// <c>transaction.max.timeout.ms</c> (15 minutes unless set there). Until then readers of committed records wait for a transaction
    /// whose producer has died.</summary>
    public TimeSpan TransactionTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a begin, a commit, an abort and offsets are retried while no broker answers: 1 minute by default, above
    /// zero.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Whether a commit waits until the records are readable everywhere: false by default. A commit is final before, when it is stored;
    /// readers then see its records some milliseconds later. While a partition has no leader, a commit that waits does not complete.
    /// </summary>
    public bool WaitUntilReadable { get; init; }

    /// <summary>
    /// How records are batched and delivered; null for the client's options. <see cref="ProducerOptions.Acks"/> is always
    /// <see cref="Acks.All"/> and idempotence always on in a transaction, and no record is delivered after
    /// <see cref="TransactionTimeout"/>.
    /// </summary>
    public ProducerOptions? Producer { get; init; }

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(TransactionTimeout > TimeSpan.Zero, nameof(TransactionTimeout), "is above zero");
        Require(RequestTimeout > TimeSpan.Zero, nameof(RequestTimeout), "is above zero");
        Producer?.Validate();
    }

    /// <summary>The options of the records' producer.</summary>
    /// <param name="defaults">Where <see cref="Producer"/> is null.</param>
    internal ProducerOptions ProducerOr(ProducerOptions defaults)
    {
        var producer = Producer ?? defaults;
        var delivery = producer.DeliveryTimeout < TransactionTimeout ? producer.DeliveryTimeout : TransactionTimeout;
        return producer with
        {
            Acks = Acks.All,
            EnableIdempotence = true,
            DeliveryTimeout = delivery,
            Linger = producer.Linger < delivery ? producer.Linger : TimeSpan.Zero,
        };
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"TransactionalProducerOptions.{option} {rule}.", option);
    }
}
