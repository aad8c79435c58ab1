using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>How a partition reader reads.</summary>
public sealed record ReaderOptions
{
    /// <summary>
    /// Bytes of batches, as stored, that are held ahead of the application, over all partitions: 16 MiB by default, 16 KiB or above. Each
    /// partition gets an even share; a batch larger than half of that is held all the same, one at a time.
    /// </summary>
    public int PrefetchBytes { get; init; } = 16 << 20;

    /// <summary>Bytes asked for in one read of one partition, at most: 1 MiB by default, 1 KiB or above.</summary>
    public int MaxFetchBytes { get; init; } = 1 << 20;

    /// <summary>How long the broker waits for records before it answers with none: 500 ms by default. New records are answered at
    /// once.</summary>
    public TimeSpan MaxWait { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The wait before the first retry, doubled with each up to <see cref="RetryBackoffMax"/>, give or take a fifth: 100 ms by
    /// default.</summary>
    public TimeSpan RetryBackoff { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait between retries: 1 second by default.</summary>
    public TimeSpan RetryBackoffMax { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// For how long retriable errors of a partition, such as an unreachable broker, are retried in silence before the reader throws:
    /// for ever (<see cref="Timeout.InfiniteTimeSpan"/>) by default.
    /// </summary>
    public TimeSpan RetryTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>Whether the CRC of each batch is checked: yes by default.</summary>
    public bool CheckCrc { get; init; } = true;

    /// <summary>Where codecs come from: gzip, snappy, lz4 and zstd by default.</summary>
    public CompressionCodecs Codecs { get; init; } = StandardCodecs.All;

    /// <summary>Where the time comes from.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Where the jitter of retries comes from. Must be thread safe, as <see cref="System.Random.Shared"/> is.</summary>
    public Random Random { get; init; } = Random.Shared;

    /// <summary>Refuses options that are out of range.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(PrefetchBytes >= 16 << 10, nameof(PrefetchBytes), "is 16384 bytes or more");
        Require(MaxFetchBytes >= 1024, nameof(MaxFetchBytes), "is 1024 bytes or more");
        Require(MaxWait >= TimeSpan.Zero, nameof(MaxWait), "is zero or more");
        Require(RetryBackoff > TimeSpan.Zero && RetryBackoffMax >= RetryBackoff, nameof(RetryBackoff),
            "is above zero and at most RetryBackoffMax");
        Require(RetryTimeout == Timeout.InfiniteTimeSpan || RetryTimeout >= TimeSpan.Zero, nameof(RetryTimeout),
            "is zero or more, or infinite");
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"ReaderOptions.{option} {rule}.", option);
    }
}
