using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>Options of a partition reader.</summary>
public sealed record ReaderOptions
{
    /// <summary>
    /// The bytes of batches, as stored, prefetched over all partitions: 16 MiB by default, 16 KiB or above. Each partition gets an equal
    /// share. A batch larger than half of that share is still held, one at a time.
    /// </summary>
    public int PrefetchBytes { get; init; } = 16 << 20;

    /// <summary>The maximum bytes per fetch of one partition: 1 MiB by default, 1 KiB or above.</summary>
    public int MaxFetchBytes { get; init; } = 1 << 20;

    /// <summary>How long the broker waits for records before it returns none: 500 ms by default. New records are returned at
    /// once.</summary>
    public TimeSpan MaxWait { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The wait before the first retry: 100 ms by default. It doubles with each retry up to <see cref="RetryBackoffMax"/>, with a
    /// jitter of ±20 %.</summary>
    public TimeSpan RetryBackoff { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait between retries: 1 second by default.</summary>
    public TimeSpan RetryBackoffMax { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How long retriable errors of a partition, such as an unreachable broker, are retried before the reader throws: forever
    /// (<see cref="Timeout.InfiniteTimeSpan"/>) by default.
    /// </summary>
    public TimeSpan RetryTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>
    /// Whether records of transactions that are open or aborted are read: yes by default, as by Kafka's consumers
    /// (<see cref="IsolationLevel.ReadUncommitted"/>). <see cref="IsolationLevel.ReadCommitted"/> leaves them out, and ends at the first
    /// record of an open transaction until that ends.
    /// </summary>
    public IsolationLevel Isolation { get; init; } = IsolationLevel.ReadUncommitted;

    /// <summary>Whether the CRC of each batch is checked: true by default.</summary>
    public bool CheckCrc { get; init; } = true;

    /// <summary>The available codecs: gzip, snappy, lz4 and zstd by default.</summary>
    public CompressionCodecs Codecs { get; init; } = StandardCodecs.All;

    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The source of retry jitter. Must be thread-safe, as <see cref="System.Random.Shared"/> is.</summary>
    internal Random Random { get; init; } = Random.Shared;

    /// <summary>Returns the wait after a failed attempt.</summary>
    /// <param name="attempt">Its number, from 1.</param>
    internal TimeSpan BackoffAfter(int attempt) =>
        OrleansMq.Client.RetryBackoff.For(attempt, RetryBackoff, RetryBackoffMax, Random.NextDouble());

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(PrefetchBytes >= 16 << 10, nameof(PrefetchBytes), "is 16384 bytes or more");
        Require(MaxFetchBytes >= 1024, nameof(MaxFetchBytes), "is 1024 bytes or more");
        Require(MaxWait >= TimeSpan.Zero, nameof(MaxWait), "is zero or more");
        Require(RetryBackoff > TimeSpan.Zero && RetryBackoffMax >= RetryBackoff, nameof(RetryBackoff),
            "is above zero and at most RetryBackoffMax");
        Require(Isolation is IsolationLevel.ReadUncommitted or IsolationLevel.ReadCommitted, nameof(Isolation),
            "is ReadUncommitted or ReadCommitted");
        Require(RetryTimeout == Timeout.InfiniteTimeSpan || RetryTimeout >= TimeSpan.Zero, nameof(RetryTimeout),
            "is zero or more, or infinite");
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"ReaderOptions.{option} {rule}.", option);
    }
}
