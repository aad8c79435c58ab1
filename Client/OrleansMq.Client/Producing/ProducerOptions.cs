using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>Options of a producer. With the defaults no record is lost or duplicated.</summary>
public sealed record ProducerOptions
{
    /// <summary>The minimum <see cref="BatchSize"/>.</summary>
    internal const int MinBatchSize = 1024;

    /// <summary>When a record counts as delivered: <see cref="Acks.All"/> by default.</summary>
    public Acks Acks { get; init; } = Acks.All;

    /// <summary>
    /// Whether batches carry a producer id and sequence numbers, so that a retry never duplicates or reorders records. Null, the default,
    /// enables it with <see cref="Acks.All"/> and <see cref="Acks.Replicated"/>, since the other levels cannot guarantee it. When disabled,
    /// one batch per partition is in flight at a time, and a retry after an unknown outcome may duplicate records.
    /// </summary>
    public bool? EnableIdempotence { get; init; }

    /// <summary>
    /// How long a batch without awaited records may wait for more: zero by default, below <see cref="DeliveryTimeout"/>. It never delays an
    /// awaited record or a flush. Even at zero, batches grow under load: while a batch is in flight, records collect in the next one.
    /// </summary>
    public TimeSpan Linger { get; init; } = TimeSpan.Zero;

    /// <summary>
    /// The size in bytes, before compression, at which a batch is closed: 64 KiB by default, 1 KiB or above. If a batch exceeds the topic's
    /// <c>max.message.bytes</c>, it is split, and later batches of that partition are smaller.
    /// </summary>
    public int BatchSize { get; init; } = 64 << 10;

    /// <summary>
    /// The maximum size of a record in bytes, with key and headers, before compression: 1,000,000 by default, which fits a topic's default
    /// <c>max.message.bytes</c>. A larger record is rejected with <see cref="ErrorCode.MessageTooLarge"/>.
    /// </summary>
    public int MaxRequestSize { get; init; } = 1_000_000;

    /// <summary>
    /// The maximum bytes of records that are accepted and not yet delivered: 32 MiB by default, at least <see cref="MaxRequestSize"/>. When
    /// it is used up, senders wait.
    /// </summary>
    public long BufferMemory { get; init; } = 32 << 20;

    /// <summary>
    /// The maximum number of batches in flight per partition: 5 by default, which is also the upper limit. A broker remembers five batches
    /// of a producer to recognise duplicates.
    /// </summary>
    public int MaxInFlight { get; init; } = 5;

    /// <summary>
    /// How long after sending a record is reported as delivered or failed at the latest. Includes waiting for room and all retries. 2
    /// minutes by default, above zero.
    /// </summary>
    public TimeSpan DeliveryTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>The wait before the first retry: 100 ms by default. It doubles with each retry up to <see cref="RetryBackoffMax"/>, with a
    /// jitter of ±20 %. If another broker leads the partition, the first wait is 10 ms.</summary>
    public TimeSpan RetryBackoff { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait between retries: 1 second by default.</summary>
    public TimeSpan RetryBackoffMax { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How often a topic's number of partitions is refreshed: 5 minutes by default.</summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The codec of batches: none by default.</summary>
    public CompressionType Compression { get; init; } = CompressionType.None;

    /// <summary>The available codecs: gzip, snappy, lz4 and zstd by default.</summary>
    public CompressionCodecs Codecs { get; init; } = StandardCodecs.All;

    /// <summary>Chooses partitions; null for a new <see cref="DefaultPartitioner"/>.</summary>
    public IPartitioner? Partitioner { get; init; }

    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The source of retry jitter. Must be thread-safe, as <see cref="System.Random.Shared"/> is.</summary>
    internal Random Random { get; init; } = Random.Shared;

    /// <summary>Whether the producer is idempotent, considering all options.</summary>
    internal bool IsIdempotent => EnableIdempotence ?? Acks.WaitsForReplicas();

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(EnableIdempotence is not true || Acks.WaitsForReplicas(), nameof(EnableIdempotence),
            "needs Acks.All or Acks.Replicated");
        Require(Linger >= TimeSpan.Zero && Linger < DeliveryTimeout, nameof(Linger), "is from zero to below DeliveryTimeout");
        Require(BatchSize >= MinBatchSize, nameof(BatchSize), "is 1024 bytes or more");
        Require(MaxRequestSize >= 1024, nameof(MaxRequestSize), "is 1024 bytes or more");
        Require(BufferMemory >= MaxRequestSize, nameof(BufferMemory),
            "is at least MaxRequestSize, or the largest record could never be sent");
        Require(MaxInFlight is >= 1 and <= 5, nameof(MaxInFlight), "is from 1 to 5");
        Require(DeliveryTimeout > TimeSpan.Zero, nameof(DeliveryTimeout), "is above zero");
        Require(RetryBackoff > TimeSpan.Zero && RetryBackoffMax >= RetryBackoff, nameof(RetryBackoff),
            "is above zero and at most RetryBackoffMax");
        Require(MetadataMaxAge > TimeSpan.Zero, nameof(MetadataMaxAge), "is above zero");
        Require(Compression == CompressionType.None || Codecs.Has(Compression), nameof(Compression), $"{Compression} is not among Codecs");
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"ProducerOptions.{option} {rule}.", option);
    }
}
