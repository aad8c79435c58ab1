using Orleans.Concurrency;
using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>Receives the timers of a grain. Every grain of a silo with timers has it.</summary>
[Alias("omq.ITimerReceiver"), CalledBySilos]
internal interface ITimerReceiver : IGrainExtension
{
    /// <summary>Delivers timers of one grain, in order. Completes when the grain has handled all of them, or one failed.</summary>
    /// <param name="delivery">The timers' records.</param>
    /// <param name="cancellationToken">Is cancelled when its answer is not waited for any more.</param>
    /// <remarks>A grain has 5 minutes for a message. That is longer than calls wait at a grain that is busy.</remarks>
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
