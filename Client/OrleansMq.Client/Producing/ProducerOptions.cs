using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>How a producer sends. The defaults lose nothing and double nothing.</summary>
public sealed record ProducerOptions
{
    /// <summary>The smallest <see cref="BatchSize"/>.</summary>
    internal const int MinBatchSize = 1024;

    /// <summary>When a record counts as delivered: <see cref="Api.Acks.All"/> by default.</summary>
    public Acks Acks { get; init; } = Acks.All;

    /// <summary>
    /// Whether batches carry a producer id and sequence numbers, so that a retry never doubles a record and never changes the order. Null,
    /// the default: on with <see cref="Api.Acks.All"/>, else off, since the other levels cannot promise it. Off, one batch a partition
    /// is in flight at a time, and a retry after an unknown outcome may double its records.
    /// </summary>
    public bool? EnableIdempotence { get; init; }

    /// <summary>
    /// How long a batch of records that nobody awaits may wait for more of them: zero by default, below <see cref="DeliveryTimeout"/>. It
    /// never holds up a record that is awaited, nor a flush. Even at zero batches grow by themselves: while a batch is in flight, records
    /// gather in the next one.
    /// </summary>
    public TimeSpan Linger { get; init; } = TimeSpan.Zero;

    /// <summary>
    /// Bytes of a batch, before compression, at which it is closed: 64 KiB by default, 1 KiB or above. A batch that its topic's
    /// <c>max.message.bytes</c> refuses is split, and later ones of that partition are smaller.
    /// </summary>
    public int BatchSize { get; init; } = 64 << 10;

    /// <summary>
    /// Bytes of the largest record, with its key and headers, before compression: 1,000,000 by default, which a topic's default
    /// <c>max.message.bytes</c> takes. Above it a record is refused with <see cref="ErrorCode.MessageTooLarge"/>.
    /// </summary>
    public int MaxRequestSize { get; init; } = 1_000_000;

    /// <summary>
    /// Bytes of records that are accepted and not yet delivered, at most: 32 MiB by default, at least <see cref="MaxRequestSize"/>. When
    /// they are used up, senders wait.
    /// </summary>
    public long BufferMemory { get; init; } = 32 << 20;

    /// <summary>
    /// Batches of one partition on their way at once: 5 by default, and at most, since a broker remembers five batches of a producer to
    /// recognise what is sent again.
    /// </summary>
    public int MaxInFlight { get; init; } = 5;

    /// <summary>
    /// How long after it was sent a record is reported as delivered or failed, waiting for room and all retries included: 2 minutes by
    /// default, above zero.
    /// </summary>
    public TimeSpan DeliveryTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>The wait before the first retry, doubled with each up to <see cref="RetryBackoffMax"/>, give or take a fifth: 100 ms by
    /// default. After an answer that another broker leads the partition the first wait is 10 ms.</summary>
    public TimeSpan RetryBackoff { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait between retries: 1 second by default.</summary>
    public TimeSpan RetryBackoffMax { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>After how long a topic's number of partitions is asked for again: 5 minutes by default.</summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The codec of batches: none by default.</summary>
    public CompressionType Compression { get; init; } = CompressionType.None;

    /// <summary>Where codecs come from: gzip, snappy, lz4 and zstd by default.</summary>
    public CompressionCodecs Codecs { get; init; } = StandardCodecs.All;

    /// <summary>Chooses partitions; null for a <see cref="DefaultPartitioner"/> of the producer's own.</summary>
    public IPartitioner? Partitioner { get; init; }

    /// <summary>Where the time comes from.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Where the jitter of retries comes from. Must be thread safe, as <see cref="System.Random.Shared"/> is.</summary>
    public Random Random { get; init; } = Random.Shared;

    /// <summary>Whether the producer is idempotent, all options considered.</summary>
    internal bool IsIdempotent => EnableIdempotence ?? Acks == Acks.All;

    /// <summary>Refuses options that contradict each other.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(EnableIdempotence is not true || Acks == Acks.All, nameof(EnableIdempotence), "needs Acks.All");
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
