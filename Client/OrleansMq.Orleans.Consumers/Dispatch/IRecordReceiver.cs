using Orleans.Concurrency;

namespace OrleansMq.Consumers;

/// <summary>Receives the records of a grain. Every grain of a silo with consumers has it.</summary>
[Alias("omq.IRecordReceiver"), CalledBySilos]
internal interface IRecordReceiver : IGrainExtension
{
    /// <summary>Delivers records of one key, in order. Completes when the grain has handled all of them, or one failed.</summary>
    /// <param name="delivery">The records.</param>
    /// <param name="cancellationToken">Is cancelled when its answer is not waited for any more.</param>
    /// <remarks>A grain has 5 minutes for a record. That is longer than calls wait at a grain that is busy.</remarks>
    [Alias("Deliver"), ResponseTimeout("00:05:00")]
    Task<DeliveryAnswer> DeliverAsync(RecordDelivery delivery, CancellationToken cancellationToken = default);

    /// <summary>Returns the record that the grain works at; null: at none of these.</summary>
    /// <param name="source">The records' source.</param>
    [Alias("FindCurrent"), AlwaysInterleave]
    Task<long?> FindCurrentAsync(Guid source);

    /// <summary>Returns whether this activation works at a delivery, or has it wait for an earlier one. The question waits behind the calls
    /// that the grain has: without calls that interleave, a delivery that came before it has ended.</summary>
    /// <param name="delivery">The delivery's id.</param>
    [Alias("IsDelivering"), ResponseTimeout("00:00:10")]
    Task<bool> IsDeliveringAsync(Guid delivery);
}

/// <summary>A header of a record.</summary>
[GenerateSerializer, Immutable, Alias("omq.ConsumedHeader")]
internal readonly record struct ConsumedHeader([property: Id(0)] byte[] Key, [property: Id(1)] byte[]? Value);

/// <summary>A record.</summary>
/// <param name="Offset">Its offset.</param>
/// <param name="Timestamp">Its timestamp, in milliseconds since 1970.</param>
/// <param name="Value">Its value; null for a tombstone.</param>
/// <param name="Headers">Its headers.</param>
/// <param name="Attempt">The number of this attempt, from 1.</param>
/// <param name="IsRedelivered">Whether it may have been delivered before.</param>
[GenerateSerializer, Immutable, Alias("omq.ConsumedItem")]
internal readonly record struct ConsumedItem([property: Id(0)] long Offset, [property: Id(1)] long Timestamp,
    [property: Id(2)] byte[]? Value, [property: Id(3)] ConsumedHeader[] Headers, [property: Id(4)] int Attempt,
    [property: Id(5)] bool IsRedelivered);

/// <summary>Records of one key.</summary>
/// <param name="Topic">The topic.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Queue">The id of the cursor that delivers them. Offsets ascend per key, cursor and partition.</param>
/// <param name="Partition">Their partition.</param>
/// <param name="Key">Their key.</param>
/// <param name="Items">The records, in order; one or more.</param>
/// <param name="DeliveryId">The id of this delivery; empty: an earlier version sends.</param>
[GenerateSerializer, Immutable, Alias("omq.RecordDelivery")]
internal sealed record RecordDelivery([property: Id(0)] string Topic, [property: Id(1)] Guid TopicId, [property: Id(2)] Guid Queue,
    [property: Id(3)] int Partition, [property: Id(4)] byte[] Key, [property: Id(5)] ConsumedItem[] Items,
    [property: Id(6)] Guid DeliveryId = default)
{
    /// <summary>Their source in this cursor: offsets of one ascend.</summary>
    public Guid SourceInQueue => RecordPosition.Of(Queue, Partition, Key, 0).Source;

    /// <summary>Returns the delivery of a run.</summary>
    /// <param name="run">The run.</param>
    /// <param name="topicId">The id of its topic.</param>
    public static RecordDelivery Of(RecordRun run, Guid topicId) => new(run.Topic, topicId, run.Queue, run.Partition,
        run.Key.AsSpan().ToArray(), [.. run.Messages.Select(static message => new ConsumedItem(message.Offset,
            message.Time.ToUnixTimeMilliseconds(), message.Value,
            [.. message.Headers.Select(static header => new ConsumedHeader(header.Key.ToArray(), header.Value?.ToArray()))],
            message.Failures + 1, message.IsRedelivered))], DeliveryIds.Next());
}
