namespace OrleansMq.Transactions;

/// <summary>Limits of transactions.</summary>
public sealed record TransactionOptions
{
    /// <summary>The longest time for which a producer may ask to keep a transaction open (<c>transaction.max.timeout.ms</c>): 15 minutes
    /// unless set, 1 to 2,147,483,647 milliseconds.</summary>
    public TimeSpan MaxTimeout { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>How long a transactional id is remembered after its last use (<c>transactional.id.expiration.ms</c>): 7 days unless
    /// set, above zero.</summary>
    public TimeSpan IdExpiration { get; init; } = TimeSpan.FromDays(7);

    /// <summary>How long a request waits for the end of the transaction before it, until it is answered with
    /// <see cref="ErrorCode.ConcurrentTransactions"/>: 1 second unless set, 0 to 2,147,483,647 milliseconds.</summary>
    public TimeSpan MaxWait { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The most transactional ids of a cluster: 100,000 unless set, 1 or more.</summary>
    public int MaxIds { get; init; } = 100_000;

    /// <summary>The most partitions of a transaction: 10,000 unless set, 1 or more.</summary>
    public int MaxPartitions { get; init; } = 10_000;

    /// <summary>The most groups whose offsets a transaction commits: 100 unless set, 1 or more.</summary>
    public int MaxGroups { get; init; } = 100;
}
