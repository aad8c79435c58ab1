namespace OrleansMq.Streams;

/// <summary>Receives the events of a grain's subscriptions. Every grain of a silo with a stream provider has it.</summary>
[Alias("omq.IStreamConsumer")]
internal interface IStreamConsumer : IGrainExtension
{
    /// <summary>Delivers an event. Completes when the observer has.</summary>
    /// <param name="delivery">The event, and its subscription.</param>
    [Alias("Deliver")]
    Task<DeliveryAnswer> DeliverAsync(StreamDelivery delivery);
}

/// <summary>An event for one subscription.</summary>
/// <param name="Provider">The stream provider.</param>
/// <param name="Stream">The stream.</param>
/// <param name="Subscription">The subscription.</param>
/// <param name="Queue">The id of the cursor that delivers it. Offsets ascend per stream, cursor and partition.</param>
/// <param name="Partition">The event's partition.</param>
/// <param name="Offset">Its offset.</param>
/// <param name="Value">Its value; null for a tombstone.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamDelivery")]
internal sealed record StreamDelivery([property: Id(0)] string Provider, [property: Id(1)] StreamId Stream,
    [property: Id(2)] Guid Subscription, [property: Id(3)] Guid Queue, [property: Id(4)] int Partition, [property: Id(5)] long Offset,
    [property: Id(6)] byte[]? Value);

/// <summary>What became of a delivery.</summary>
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
}

/// <summary>The answer to a delivery.</summary>
/// <param name="Outcome">What became of it.</param>
/// <param name="Cause">Why it was not served, for the dead letter.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamDeliveryAnswer")]
internal sealed record DeliveryAnswer([property: Id(0)] DeliveryOutcome Outcome, [property: Id(1)] string? Cause)
{
    public static DeliveryAnswer Served { get; } = new(DeliveryOutcome.Served, null);
}
