using Orleans.Concurrency;

namespace OrleansMq.Streams;

/// <summary>Receives the events of a grain's subscriptions. Every grain of a silo with a stream provider has it.</summary>
[Alias("omq.IStreamConsumer")]
internal interface IStreamConsumer : IGrainExtension
{
    /// <summary>Delivers events of one stream, in order. Completes when the observer has handled all of them, or one failed.</summary>
    /// <param name="delivery">The events, and their subscription.</param>
    /// <remarks>An observer has 5 minutes for an event. That is longer than calls wait at a grain that is busy.</remarks>
    [Alias("Deliver"), ResponseTimeout("00:05:00")]
    Task<DeliveryAnswer> DeliverAsync(StreamDelivery delivery);

    /// <summary>Returns the first of the events that the observer of a subscription has now, by its offset; null: it has none.</summary>
    /// <param name="subscription">The subscription.</param>
    [Alias("FindObserved"), AlwaysInterleave]
    Task<long?> FindObservedAsync(Guid subscription);
}

/// <summary>An event.</summary>
/// <param name="Offset">Its offset.</param>
/// <param name="Value">Its value; null for a tombstone.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamItem")]
internal readonly record struct StreamItem([property: Id(0)] long Offset, [property: Id(1)] byte[]? Value);

/// <summary>Events for one subscription.</summary>
/// <param name="Provider">The stream provider.</param>
/// <param name="Stream">The stream.</param>
/// <param name="Subscription">The subscription.</param>
/// <param name="Queue">The id of the cursor that delivers them. Offsets ascend per stream, cursor and partition.</param>
/// <param name="Partition">Their partition.</param>
/// <param name="Items">The events, in order; one or more.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamDelivery")]
internal sealed record StreamDelivery([property: Id(0)] string Provider, [property: Id(1)] StreamId Stream,
    [property: Id(2)] Guid Subscription, [property: Id(3)] Guid Queue, [property: Id(4)] int Partition,
    [property: Id(5)] StreamItem[] Items);

/// <summary>What became of an event.</summary>
internal enum DeliveryOutcome
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>The observer has handled the event, now or before.</summary>
    Served = 1,
    /// <summary>The observer threw.</summary>
    Failed = 2,
    /// <summary>The grain has no observer for the subscription.</summary>
    NotObserved = 3,
    /// <summary>The event cannot be read, and a further attempt would not help.</summary>
    Unreadable = 4,
    /// <summary>The grain was not reached.</summary>
    Unreachable = 5,
    /// <summary>The grain has removed the subscription, or does not know that it was written.</summary>
    Removed = 6,
}

/// <summary>The answer to a delivery.</summary>
/// <param name="Count">The number of its events that are served: the first ones.</param>
/// <param name="Outcome">What became of the event after them. <see cref="DeliveryOutcome.Served"/>: all are served, or the call took long
/// enough and the others are sent again.</param>
/// <param name="Cause">Why it was not served, for the dead letter.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamDeliveryAnswer")]
internal sealed record DeliveryAnswer([property: Id(0)] int Count, [property: Id(1)] DeliveryOutcome Outcome,
    [property: Id(2)] string? Cause = null);
