using System.Buffers.Binary;
using System.Security.Cryptography;
using OrleansMq.Records;

namespace OrleansMq.Producers;

/// <summary>
/// The producers of dead letters and of scheduled records: each incarnation of a cursor, and each partition of schedules, is one at its
/// target, for each leadership that decides some. A letter's sequence is that of its intent, so the target tells repetitions: by the same
/// leader, and by leaders that follow each other, which publish the same letters.
/// </summary>
/// <remarks>
/// Such a producer may skip sequences: letters in between went elsewhere, or their records were deleted. A sequence that is not above the
/// last one is a duplicate. That loses nothing, since a leader publishes a letter only when each earlier one is confirmed or given up.
/// Its state is kept while the log holds its last letter: as long as a letter is in the target, it is not appended again.
/// </remarks>
internal static class LetterProducers
{
    /// <summary>Their ids begin here, far beyond those that brokers count.</summary>
    public const long FirstId = 1L << 62;

    /// <summary>The epoch of dead letters, which no other producer reaches: a broker that counts epochs begins another id
    /// before.</summary>
    public const short Epoch = short.MaxValue;

    /// <summary>The epoch of scheduled records.</summary>
    public const short ScheduleEpoch = Epoch - 1;

    /// <summary>The most bytes of a batch of letters, whatever the topic's <c>max.message.bytes</c>: a letter has headers that its record
    /// had not. It is compressed only if it is larger otherwise.</summary>
    public const int MostBatchBytes = (16 << 20) + (64 << 10);

    /// <summary>Whether a producer publishes dead letters or scheduled records.</summary>
    public static bool IsLetter(long producerId, short epoch) => epoch >= ScheduleEpoch && producerId >= FirstId;

    /// <summary>Whether a batch is of such a producer. Only brokers send them: see <c>BatchProducers</c>.</summary>
    public static bool IsLetter(ReadOnlySpan<byte> batch) => batch.Length >= RecordBatchHeader.Size
        && RecordBatchHeader.Read(batch) is { Magic: RecordBatches.Magic } header && IsLetter(header.ProducerId, header.ProducerEpoch);

    /// <summary>Whether a batch that <see cref="IsLetter(ReadOnlySpan{byte})"/> has dead letters: its size does not depend on the topic's
    /// limit.</summary>
    public static bool IsDeadLetter(ReadOnlySpan<byte> letters) => RecordBatchHeader.Read(letters).ProducerEpoch == Epoch;

    /// <summary>Returns the id of a partition of schedules.</summary>
    /// <param name="topicId">The topic of schedules.</param>
    /// <param name="partition">Its partition.</param>
    /// <param name="origin">The leadership that decided the records.</param>
    public static long IdOfSchedules(Guid topicId, int partition, long origin) => IdOf(topicId, partition, Guid.Empty, origin);

    /// <summary>Returns the id of an incarnation of a cursor: 62 bits of a hash, so two of them do not meet.</summary>
    /// <param name="topicId">The cursor's topic.</param>
    /// <param name="partition">Its partition.</param>
    /// <param name="incarnation">The incarnation.</param>
    /// <param name="origin">The leadership that decided the letters. After a lost tail of the source, another one gives out the same
    /// sequences.</param>
    public static long IdOf(Guid topicId, int partition, Guid incarnation, long origin)
    {
        Span<byte> source = stackalloc byte[44];
        topicId.TryWriteBytes(source, bigEndian: true, out _);
        BinaryPrimitives.WriteInt32BigEndian(source[16..], partition);
        incarnation.TryWriteBytes(source[20..], bigEndian: true, out _);
        BinaryPrimitives.WriteInt64BigEndian(source[36..], origin);
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(source, hash);
        return FirstId | (BinaryPrimitives.ReadInt64BigEndian(hash) & (FirstId - 1));
    }

    /// <summary>Returns the sequence of an intent's letter. It wraps as every producer's does.</summary>
    public static int SequenceOf(long sequence) => (int)(sequence & int.MaxValue);
}
