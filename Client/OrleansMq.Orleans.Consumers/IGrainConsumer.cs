namespace OrleansMq.Consumers;

/// <summary>A grain that consumes records. Its class says from which topic with <see cref="ConsumesAttribute"/>.</summary>
/// <typeparam name="TValue">The type of values. A tombstone is null, for which a type such as <c>Order?</c> allows; it is
/// dead-lettered where the type has no null.</typeparam>
public interface IGrainConsumer<TValue>
{
    /// <summary>Handles a record of the grain's key. The record is settled when the call has completed, and the next one of the key comes
    /// after that. If the call throws, the record comes again after a delay, and is dead-lettered in the end. Calls are in order and one at
    /// a time, also where the class is reentrant. A record may come again: <see cref="ProcessedOffsets.TryApply(ConsumedRecord, Action)"/>
    /// makes its effect on the grain's state happen once.</summary>
    /// <param name="value">The record's value.</param>
    /// <param name="record">The rest of the record.</param>
    /// <param name="cancellationToken">Is cancelled when the record goes to another call: the time of a call is over (five minutes), the
    /// record's lock has ended, or a silo stops, the one that delivers or the grain's. What the method has done by its end is then not
    /// settled. An <see cref="OperationCanceledException"/> counts as an attempt after the five minutes, and not otherwise.</param>
    Task ConsumeAsync(TValue value, ConsumedRecord record, CancellationToken cancellationToken);
}
