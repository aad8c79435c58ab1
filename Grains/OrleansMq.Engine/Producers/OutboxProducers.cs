namespace OrleansMq.Producers;

/// <summary>
/// The producers of outboxes: each outbox is one in every partition that it sends to. Its id and the sequences of its messages are stored
/// together with the messages, so that every process that sends a message sends it under the same sequence, and the partition has it once.
/// </summary>
/// <remarks>
/// Such a producer skips sequences, as <see cref="LetterProducers"/> do: messages in between went to other partitions. A sequence that is
/// not above the last one is a duplicate. That loses nothing, since an outbox sends a message to a partition only when each earlier one is
/// acknowledged, or will never be sent under its sequence.
/// <para>The broker forgets such a producer like every other one, a day after its last batch.</para>
/// </remarks>
internal static class OutboxProducers
{
    /// <summary>Their ids begin here, far beyond those that brokers count.</summary>
    public const long FirstId = LetterProducers.FirstId;

    /// <summary>Their epoch, which no other producer has.</summary>
    public const short Epoch = LetterProducers.ScheduleEpoch - 1;

    /// <summary>Whether a producer is an outbox.</summary>
    public static bool IsOutbox(long producerId, short epoch) => epoch == Epoch && producerId >= FirstId;

    /// <summary>Returns the id of a new outbox: two of them do not meet.</summary>
    /// <param name="random">Random bits, of which 62 are used.</param>
    public static long IdOf(long random) => FirstId | (random & (FirstId - 1));

    /// <summary>Returns the sequence of a message in its batch. It wraps as every producer's does.</summary>
    public static int SequenceOf(long sequence) => (int)(sequence & int.MaxValue);
}
