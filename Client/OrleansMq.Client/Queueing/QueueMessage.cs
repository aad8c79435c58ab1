using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>A message of a queue. The consumer holds it until it is settled. Thread-safe.</summary>
/// <remarks>A message is settled once: a second call throws an <see cref="InvalidOperationException"/>. Every method that settles throws a
/// <see cref="BrokerException"/>: <see cref="ErrorCode.InvalidRecordState"/> or <see cref="ErrorCode.UnknownMemberId"/>: it is not held any
/// more, and is delivered again; <see cref="ErrorCode.RequestTimedOut"/> and other retriable codes: the outcome is unknown, and it may be
/// delivered again.</remarks>
/// <typeparam name="TKey">The type of its key.</typeparam>
/// <typeparam name="TValue">The type of its value.</typeparam>
public sealed class QueueMessage<TKey, TValue>
{
    // What a serializer adds to a header.
    private const long HeaderRoom = 16;

    private static readonly TimeSpan MaxDelay = TimeSpan.FromDays(366);

    private readonly QueueRecord _record;
    private readonly IDeserializer<TKey> _keys;
    private readonly IDeserializer<TValue> _values;
    private int _isSettled;

    internal QueueMessage(QueueAttachment attachment, QueueLock held, QueueRecord record, IDeserializer<TKey> keys,
        IDeserializer<TValue> values) =>
        (Attachment, Lock, _record, _keys, _values) = (attachment, held, record, keys, values);

    /// <summary>Its partition.</summary>
    public TopicPartition TopicPartition => Attachment.Partition;
    /// <summary>Its offset in the partition.</summary>
    public long Offset => _record.Offset;
    /// <summary>Its timestamp.</summary>
    public DateTimeOffset Time => RecordTimes.Of(_record.Timestamp);
    /// <summary>Its headers, in order.</summary>
    public IReadOnlyList<RecordHeader> Headers => _record.Headers;
    /// <summary>How often it was delivered, with this delivery.</summary>
    public int Deliveries => _record.Deliveries;
    /// <summary>How often it failed.</summary>
    public int Failures => _record.Failures;
    /// <summary>Whether it may have been delivered before.</summary>
    public bool IsRedelivered => _record.IsRedelivered;

    /// <summary>Its key, deserialized with each call.</summary>
    /// <exception cref="DeserializationException">The deserializer refused it.</exception>
    public TKey Key => Deserialize(_keys, _record.Key, "key");

    /// <summary>Its value, deserialized with each call.</summary>
    /// <exception cref="DeserializationException">The deserializer refused it.</exception>
    public TValue Value => Deserialize(_values, _record.Value, "value");

    /// <summary>About how many bytes it takes in a call: key, value and headers.</summary>
    internal long Size => SizeOf(_record.Key, _record.Value)
        + _record.Headers.Sum(static header => HeaderRoom + SizeOf(header.Key, header.Value));
    internal QueueAttachment Attachment { get; }
    internal QueueLock Lock { get; }
    /// <summary>Whether a request to settle it was made.</summary>
    internal bool IsSettled => Volatile.Read(ref _isSettled) != 0;

    /// <summary>Completes it: it is never delivered again.</summary>
    public Task CompleteAsync(CancellationToken cancellationToken = default) => SettleAsync(QueueAction.Accept, null, cancellationToken);

    /// <summary>Gives it back, as failed. Its dead letter, if it fails too often, says no reason: see
    /// <see cref="DeadLetterAsync"/>.</summary>
    /// <param name="delay">How long it is not delivered, zero to 366 days; null: as the queue's options say.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="ArgumentOutOfRangeException">The delay is out of range; the message is still held.</exception>
    public Task AbandonAsync(TimeSpan? delay = null, CancellationToken cancellationToken = default) =>
        SettleAsync(QueueAction.Fail, delay, cancellationToken);

    /// <summary>Gives it back, not as failed.</summary>
    /// <param name="delay">How long it is not delivered, zero to 366 days; null: not at all.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="ArgumentOutOfRangeException">The delay is out of range; the message is still held.</exception>
    public Task ReleaseAsync(TimeSpan? delay = null, CancellationToken cancellationToken = default) =>
        SettleAsync(QueueAction.Release, delay, cancellationToken);

    /// <summary>Gives it back after a delay, as if it had not been delivered: neither as failed, nor as one more of its
    /// <see cref="Deliveries"/>, unless it is the first.</summary>
    internal Task ReleaseUncountedAsync(TimeSpan? delay, CancellationToken cancellationToken) =>
        SettleAsync(QueueAction.Release, delay, cancellationToken, isUncounted: true);

    /// <summary>Rejects it: it is never delivered again, and counted. With a <see cref="QueueOptions.DeadLetterTopic"/> it goes
    /// there.</summary>
    public Task RejectAsync(CancellationToken cancellationToken = default) => SettleAsync(QueueAction.Reject, null, cancellationToken);

    /// <summary>Rejects it, and says why in its dead letter's <see cref="DeadLetterHeaders.Reason"/>.</summary>
    /// <param name="reason">Why; of more than 1,024 bytes in UTF-8, the beginning is kept.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task DeadLetterAsync(string reason, CancellationToken cancellationToken = default) =>
        SettleAsync(QueueAction.Reject, null, cancellationToken, reason);

    /// <summary>Begins its lock anew, where the consumer has a <see cref="QueueConsumerOptions.LockDuration"/>.</summary>
    public Task RenewAsync(CancellationToken cancellationToken = default) =>
        Attachment.SettleAsync(new QueueSettlement(Lock, Offset, Offset, QueueAction.Renew), cancellationToken);

    private Task SettleAsync(QueueAction action, TimeSpan? delay, CancellationToken cancellationToken, string? reason = null,
        bool isUncounted = false)
    {
        if (delay is { } time && (time < TimeSpan.Zero || time > MaxDelay))
            throw new ArgumentOutOfRangeException(nameof(delay), time, $"A delay is zero to {MaxDelay.TotalDays} days.");
        if (Interlocked.Exchange(ref _isSettled, 1) != 0)
            throw new InvalidOperationException($"The message at {TopicPartition}, offset {Offset}, is settled already: settle it once.");
        return Attachment.SettleAsync(new QueueSettlement(Lock, Offset, Offset, action)
        {
            Delay = delay,
            Reason = reason,
            IsUncounted = isUncounted,
        }, cancellationToken);
    }

    private T Deserialize<T>(IDeserializer<T> deserializer, ReadOnlyMemory<byte>? bytes, string part)
    {
        try
        {
            return deserializer.Deserialize(bytes is { } given ? given.Span : default, isNull: bytes is null);
        }
        catch (Exception refused)
        {
            throw new DeserializationException(TopicPartition, Offset, part, refused);
        }
    }

    private static long SizeOf(ReadOnlyMemory<byte>? key, ReadOnlyMemory<byte>? value) => (key?.Length ?? 0) + (value?.Length ?? 0);
}
