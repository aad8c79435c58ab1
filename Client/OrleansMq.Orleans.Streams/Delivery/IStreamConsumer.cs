using Orleans.Concurrency;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>Receives the events of a grain's subscriptions. Every grain of a silo with a stream provider has it.</summary>
[Alias("omq.IStreamConsumer"), CalledBySilos]
internal interface IStreamConsumer : IGrainExtension
{
    /// <summary>Delivers events of one stream, in order. Completes when the observer has handled all of them, or one failed.</summary>
    /// <param name="delivery">The events, and their subscription.</param>
    /// <remarks>An observer has 5 minutes for an event. That is longer than calls wait at a grain that is busy.</remarks>
    [Alias("Deliver"), ResponseTimeout("00:05:00")]
    Task<DeliveryAnswer> DeliverAsync(StreamDelivery delivery);

    /// <summary>Returns the first of the events that the observer of a subscription has now from any cursor, by its offset; null: it has
    /// none. Earlier versions ask.</summary>
    /// <param name="subscription">The subscription.</param>
    [Alias("FindObserved"), AlwaysInterleave]
    Task<long?> FindObservedAsync(Guid subscription);

    /// <summary>Returns the first of the events that the observer of a subscription has now from a cursor, by its offset; null: it has none
    /// of that cursor. What it has from a replay of its activation is none.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="queue">The cursor.</param>
    /// <param name="partition">The partition.</param>
    [Alias("FindObservedOf"), AlwaysInterleave]
    Task<long?> FindObservedOfAsync(Guid subscription, Guid queue, int partition);

    /// <summary>Carries out what the replay of an activation has to do next, in a turn of the activation.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="replay">The replay.</param>
    /// <returns>False: this activation has no such replay.</returns>
    [Alias("Replay"), ResponseTimeout("00:05:00")]
    Task<bool> ReplayAsync(Guid subscription, Guid replay);

    /// <summary>Returns whether this activation works at a delivery, or has it wait for an earlier one. The question waits behind the calls
    /// that the grain has: without calls that interleave, a delivery that came before it has ended.</summary>
    /// <param name="delivery">The delivery's id.</param>
    /// <returns>True also of a stateless worker: another of its activations may have it.</returns>
    [Alias("IsDelivering"), ResponseTimeout("00:00:10")]
    Task<bool> IsDeliveringAsync(Guid delivery);
}

/// <summary>An event.</summary>
/// <param name="Offset">Its offset.</param>
/// <param name="Value">Its value; null for a tombstone.</param>
/// <param name="Failures">How often it failed before.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamItem")]
internal readonly record struct StreamItem([property: Id(0)] long Offset, [property: Id(1)] byte[]? Value,
    [property: Id(2)] int Failures = 0);

/// <summary>Events for one subscription.</summary>
/// <param name="Provider">The stream provider.</param>
/// <param name="Stream">The stream.</param>
/// <param name="Subscription">The subscription.</param>
/// <param name="Queue">The id of the cursor that delivers them. Offsets ascend per stream, cursor and partition.</param>
/// <param name="Partition">Their partition.</param>
/// <param name="Items">The events, in order; one or more.</param>
/// <param name="Replay">How many replays the subscription has had. An activation refuses deliveries of earlier ones.</param>
/// <param name="ReplayId">The newest of them; empty: there is none, or an earlier version sends. Calls that resume at once may give two
/// replays one number.</param>
/// <param name="Continues">Of a split: the replay from a token that it goes on with, or empty; null: it is none.</param>
/// <param name="Generation">How many tokens the subscription had been resumed from. A replay of an earlier generation is an earlier
/// one.</param>
/// <param name="DeliveryId">The id of this delivery; empty: an earlier version sends, or no grain is called.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamDelivery")]
internal sealed record StreamDelivery([property: Id(0)] string Provider, [property: Id(1)] StreamId Stream,
    [property: Id(2)] Guid Subscription, [property: Id(3)] Guid Queue, [property: Id(4)] int Partition,
    [property: Id(5)] StreamItem[] Items, [property: Id(6)] int Replay = 0,
    [property: Id(7)] Guid ReplayId = default, [property: Id(8)] Guid? Continues = null, [property: Id(9)] int Generation = 0,
    [property: Id(10)] Guid DeliveryId = default);
