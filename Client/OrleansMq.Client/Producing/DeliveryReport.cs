namespace OrleansMq.Client;

/// <summary>What became of a record.</summary>
/// <param name="TopicPartition">Where it went; partition -1 where none was chosen yet.</param>
/// <param name="Offset">
/// Its offset; -1 on error, and where the broker recognised a batch as written long ago but has forgotten its offset.
/// </param>
/// <param name="Timestamp">Its time in milliseconds since 1970: the broker's where the topic stamps LogAppendTime, else the
/// record's.</param>
/// <param name="Error">Null when it was delivered.</param>
public readonly record struct DeliveryReport(TopicPartition TopicPartition, long Offset, long Timestamp, ProduceException? Error = null);

/// <summary>
/// A record that was not delivered. <see cref="Action"/> says whether to retry, abort or give up; <see cref="MayBeWritten"/> whether the
/// record may be in the log nevertheless.
/// </summary>
public sealed class ProduceException : Exception
{
    /// <summary>A failure, with what is known of the record.</summary>
    public ProduceException(ErrorCode code, string message, TopicPartition topicPartition, ReadOnlyMemory<byte>? key = null,
        bool mayBeWritten = false,
        Exception? inner = null) : base(message, inner)
    {
        Code = code;
        TopicPartition = topicPartition;
        Key = key;
        MayBeWritten = mayBeWritten;
    }

    /// <summary>The protocol's name for what happened last.</summary>
    public ErrorCode Code { get; }

    /// <summary>
    /// <see cref="ErrorAction.Retry"/>: the same record may succeed when it is sent again (if <see cref="MayBeWritten"/>, at the price that
    /// it may then be there twice). <see cref="ErrorAction.Abort"/>: the record or the request is refused; the producer goes on with
    /// others. <see cref="ErrorAction.GiveUp"/>: the broker no longer knows where this producer stands; check what was written before
    /// sending more.
    /// </summary>
    public ErrorAction Action => Code.Action();

    /// <summary>
    /// False: the record is certainly not in the log, and never will be. True: it was handed to the broker and the outcome is not known.
    /// </summary>
    public bool MayBeWritten { get; }

    /// <summary>The topic and partition; partition -1 where none was chosen yet.</summary>
    public TopicPartition TopicPartition { get; }

    /// <summary>The record's key as it was serialized; null where it has none.</summary>
    public ReadOnlyMemory<byte>? Key { get; }
}
