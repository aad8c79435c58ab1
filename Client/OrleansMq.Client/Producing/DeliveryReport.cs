namespace OrleansMq.Client;

/// <summary>The outcome of sending a record.</summary>
/// <param name="TopicPartition">The record's partition; number -1 if none was chosen yet.</param>
/// <param name="Offset">
/// The record's offset. -1 on error, and if the broker recognised an old duplicate batch but has forgotten its offset.
/// </param>
/// <param name="Timestamp">The record's time in milliseconds since 1970; the broker's if the topic stamps LogAppendTime.</param>
/// <param name="Error">Null if the record was delivered.</param>
public readonly record struct DeliveryReport(TopicPartition TopicPartition, long Offset, long Timestamp, ProduceException? Error = null);

/// <summary>
/// A record was not delivered. <see cref="OrleansMqException.Code"/> is that of the last attempt. <see cref="MayBeWritten"/> tells whether
/// the record may be in the log nevertheless. <see cref="OrleansMqException.Action"/> tells what to do:
/// <list type="bullet">
/// <item><see cref="ErrorAction.Retry"/>: the record may succeed when it is sent again; if <see cref="MayBeWritten"/>, it may then be in
/// the log twice.</item>
/// <item><see cref="ErrorAction.Abort"/>: the record or the request was rejected; the producer continues with others.</item>
/// <item><see cref="ErrorAction.GiveUp"/>: the broker has lost this producer's state; check what was written before sending more.</item>
/// </list>
/// </summary>
public sealed class ProduceException : OrleansMqException
{
    /// <summary>Creates a failure, with what is known of the record.</summary>
    public ProduceException(ErrorCode code, string message, TopicPartition topicPartition, ReadOnlyMemory<byte>? key = null,
        bool mayBeWritten = false, Exception? inner = null) : base(code, message, inner)
    {
        TopicPartition = topicPartition;
        Key = key;
        MayBeWritten = mayBeWritten;
    }

    /// <summary>
    /// False: the record is not in the log, and never will be. True: it was handed to the broker and the outcome is unknown.
    /// </summary>
    public bool MayBeWritten { get; }

    /// <summary>The topic and partition; number -1 if none was chosen yet.</summary>
    public TopicPartition TopicPartition { get; }

    /// <summary>The record's serialized key; null if it has none or it is unknown.</summary>
    public ReadOnlyMemory<byte>? Key { get; }
}
