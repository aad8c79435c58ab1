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
    Task ConsumeAsync(TValue value, ConsumedRecord record);
}
