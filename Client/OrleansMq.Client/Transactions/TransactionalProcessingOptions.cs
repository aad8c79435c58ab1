namespace OrleansMq.Client;

/// <summary>How records are read, handled and written in transactions.</summary>
public sealed record TransactionalProcessingOptions
{
    /// <summary>The topics to read.</summary>
    public required IReadOnlyList<string> Topics { get; init; }

    /// <summary>
    /// The transactional id of this loop, which no other loop has at the same time, and which it keeps over restarts: such as the name of
    /// the pod. After a crash the new instance then ends at once what the dead one left open. Null, the default, for a new id each time:
    /// then what a crash leaves open, and with it the readers behind it, waits for
    /// <see cref="TransactionalProducerOptions.TransactionTimeout"/>.
    /// </summary>
    public string? TransactionalId { get; init; }

    /// <summary>The most records of a transaction: 1,000 by default, 1 or more.</summary>
    public int MaxRecords { get; init; } = 1000;

    /// <summary>How long a transaction collects records, at most: 100 ms by default, zero or more. Results are readable after it.</summary>
    public TimeSpan CommitInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>How many times a record may fail in its handler, or transactions in a row by what was written, until the loop ends with the
    /// exception: 10 by default, 1 or more. After a failure transactions have one record until the record has passed, so that few others
    /// are
    /// handled again. Failures of brokers and rebalances do not count: they are waited for.</summary>
    public int MaxAttempts { get; init; } = 10;

    /// <summary>How results are sent; null for the defaults.</summary>
    public TransactionalProducerOptions? Producer { get; init; }

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(Topics is { Count: > 0 }, nameof(Topics), "names at least one topic");
        Require(MaxRecords >= 1, nameof(MaxRecords), "is 1 or more");
        Require(CommitInterval >= TimeSpan.Zero, nameof(CommitInterval), "is zero or more");
        Require(MaxAttempts >= 1, nameof(MaxAttempts), "is 1 or more");
        Producer?.Validate();
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"TransactionalProcessingOptions.{option} {rule}.", option);
    }
}
