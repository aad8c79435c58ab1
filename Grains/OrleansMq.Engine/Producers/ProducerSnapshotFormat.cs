using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Producers;

/// <summary>The result of reading a snapshot's two files.</summary>
internal enum SnapshotOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>The complete state of each producer.</summary>
    Whole = 1,
    /// <summary>The last batch of each producer; the file with the earlier ones is missing, damaged, or belongs to another
    /// snapshot.</summary>
    LastBatchesOnly = 2,
    /// <summary>Nothing usable.</summary>
    Damaged = 3,
}

/// <summary>
/// The encoding of producer state in two files, both big-endian, with a CRC-32C over everything that follows it.
/// <para><c>&lt;offset&gt;.snapshot</c> is identical to Kafka's (ProducerSnapshot version 1). It contains the last batch of each producer:
/// <code>
/// 0 version i16 = 1 | 2 crc u32 | 6 count i32 | entries:
///   0 producerId i64 | 8 epoch i16 | 10 lastSequence i32 | 14 lastOffset i64 | 22 offsetDelta i32 | 26 timestamp i64
///   34 coordinatorEpoch i32 | 38 currentTxnFirstOffset i64                                       = 46 bytes
/// </code></para>
/// <para><c>&lt;offset&gt;.producers</c> is specific to this broker and contains the batches before the last, so that retries are
/// recognised after a restart too. It references its snapshot by CRC. If it is missing or does not match, only the last batch is known, and
/// an older retry is rejected as out of order instead of being duplicated.
/// <code>
/// 0 version i16 = 1 | 2 crc u32 | 6 snapshotCrc u32 | 10 count i32 | entries:
///   0 producerId i64 | 8 flags i8 (bit 0: epoch held from sequence 0) | 9 lastAppendTime i64 | 17 batches i8 (0 to 4, oldest first), each:
///     0 baseSequence i32 | 4 offsetDelta i32 | 8 baseOffset i64 | 16 timestamp i64                  = 24 bytes
/// </code>
/// Version 2, written only where there are transactions to tell of, has after the entries:
/// <code>
/// numbered i32, each: producerId i64 | number of its last ended transaction i64
/// ended i32, each: firstOffset i64 | markerOffset i64         transactions that the high watermark may not have passed
/// </code></para>
/// </summary>
internal static class ProducerSnapshotFormat
{
    private const short Version = 1;
    private const short VersionWithTransactions = 2;
    private const int CrcOffset = 2;
    private const int BodyOffset = 6;
    private const int SnapshotEntrySize = 46;
    private const int CompanionEntrySize = 18;
    private const int BatchSize = 24;
    private const int TransactionSize = 16;

    public static byte[] EncodeSnapshot(ProducerStateManager producers)
    {
        var bytes = new byte[BodyOffset + 4 + (producers.Count * SnapshotEntrySize)];
        var writer = new Writer(bytes, BodyOffset);
        writer.Int32(producers.Count);
        foreach (var (id, state) in producers.Producers)
        {
            var hasBatch = state.Count > 0;
            var last = hasBatch ? state[0] : default;
            writer.Int64(id);
            writer.Int16(state.Epoch);
            writer.Int32(hasBatch ? last.LastSequence : -1);
            writer.Int64(hasBatch ? last.LastOffset : -1);
            writer.Int32(last.OffsetDelta);
            writer.Int64(hasBatch ? last.Timestamp : state.LastAppendTime);
            writer.Int32(state.CoordinatorEpoch);
            writer.Int64(state.CurrentTransactionFirstOffset);
        }
        Seal(bytes);
        return bytes;
    }

    public static byte[] EncodeCompanion(ProducerStateManager producers, ReadOnlySpan<byte> snapshot,
        IReadOnlyList<EndedTransaction>? ended = null)
    {
        var (batches, numbered, endedCount) = (0, 0, ended?.Count ?? 0);
        foreach (var (_, state) in producers.Producers)
        {
            batches += Math.Max(0, state.Count - 1);
            numbered += state.LastTransactionNumber > 0 ? 1 : 0;
        }
        var tellsTransactions = numbered > 0 || endedCount > 0;
        var bytes = new byte[BodyOffset + 8 + (producers.Count * CompanionEntrySize) + (batches * BatchSize)
            + (tellsTransactions ? 8 + ((numbered + endedCount) * TransactionSize) : 0)];
        var writer = new Writer(bytes, BodyOffset);
        writer.Int32((int)ReadCrc(snapshot));
        writer.Int32(producers.Count);
        foreach (var (id, state) in producers.Producers)
        {
            writer.Int64(id);
            writer.Byte(state.StartedAtZero ? (byte)1 : (byte)0);
            writer.Int64(state.LastAppendTime);
            writer.Byte((byte)Math.Max(0, state.Count - 1));
            for (var age = state.Count - 1; age > 0; age--)
            {
                var batch = state[age];
                writer.Int32(batch.BaseSequence);
                writer.Int32(batch.OffsetDelta);
                writer.Int64(batch.BaseOffset);
                writer.Int64(batch.Timestamp);
            }
        }
        if (tellsTransactions)
            WriteTransactions(ref writer, producers, numbered, ended ?? []);
        Seal(bytes, tellsTransactions ? VersionWithTransactions : Version);
        return bytes;
    }

    private static void WriteTransactions(ref Writer writer, ProducerStateManager producers, int numbered,
        IReadOnlyList<EndedTransaction> ended)
    {
        writer.Int32(numbered);
        foreach (var (id, state) in producers.Producers)
        {
            if (state.LastTransactionNumber <= 0)
                continue;
            writer.Int64(id);
            writer.Int64(state.LastTransactionNumber);
        }
        writer.Int32(ended.Count);
        foreach (var transaction in ended)
        {
            writer.Int64(transaction.First);
            writer.Int64(transaction.Marker);
        }
    }

    /// <summary>Fills <paramref name="into"/> with the content of the files, and a list with the ended transactions.</summary>
    public static SnapshotOutcome Decode(ReadOnlySpan<byte> snapshot, ReadOnlySpan<byte> companion, long now, ProducerStateManager into,
        List<EndedTransaction>? ended = null)
    {
        ended?.Clear();
        if (!IsIntact(snapshot, BodyOffset + 4, Version))
            return SnapshotOutcome.Damaged;
        var reader = new Reader(snapshot, BodyOffset);
        var count = reader.Int32();
        if (count < 0 || snapshot.Length != BodyOffset + 4 + ((long)count * SnapshotEntrySize))
            return SnapshotOutcome.Damaged;
        var whole = TryDecodeCompanion(companion, ReadCrc(snapshot), ended ?? [], out var older, out var numbers);
        for (var i = 0; i < count; i++)
        {
            var id = reader.Int64();
            var epoch = reader.Int16();
            var lastSequence = reader.Int32();
            var lastOffset = reader.Int64();
            var offsetDelta = reader.Int32();
            var timestamp = reader.Int64();
            var coordinatorEpoch = reader.Int32();
            var transactionFirstOffset = reader.Int64();
            older.TryGetValue(id, out var rest);
            var state = ProducerState.Restore(epoch, rest?.StartedAtZero ?? false, rest?.LastAppendTime ?? now, coordinatorEpoch,
                transactionFirstOffset, numbers.GetValueOrDefault(id));
            foreach (var batch in rest?.Batches ?? [])
                state.Remember(batch);
            if (lastOffset >= 0)
            {
                var baseSequence = (int)(((long)lastSequence - offsetDelta) & int.MaxValue);
                state.Remember(new ProducerBatch(baseSequence, offsetDelta, lastOffset - offsetDelta, timestamp));
            }
            into.Restore(id, state);
        }
        return whole ? SnapshotOutcome.Whole : SnapshotOutcome.LastBatchesOnly;
    }

    private static bool TryDecodeCompanion(ReadOnlySpan<byte> bytes, uint snapshotCrc, List<EndedTransaction> ended,
        out Dictionary<long, Older> all, out Dictionary<long, long> numbers)
    {
        (all, numbers) = ([], []);
        if (!IsIntact(bytes, BodyOffset + 8, VersionWithTransactions))
            return false;
        var reader = new Reader(bytes, BodyOffset);
        if ((uint)reader.Int32() != snapshotCrc)
            return false;
        // The CRC was valid, so the rest was written by the method above.
        for (var left = reader.Int32(); left > 0; left--)
        {
            var id = reader.Int64();
            var startedAtZero = (reader.Byte() & 1) != 0;
            var lastAppendTime = reader.Int64();
            var batches = new ProducerBatch[reader.Byte()];
            for (var i = 0; i < batches.Length; i++)
                batches[i] = new ProducerBatch(reader.Int32(), reader.Int32(), reader.Int64(), reader.Int64());
            all[id] = new Older(startedAtZero, lastAppendTime, batches);
        }
        if (BinaryPrimitives.ReadInt16BigEndian(bytes) < VersionWithTransactions)
            return true;
        for (var left = reader.Int32(); left > 0; left--)
            numbers[reader.Int64()] = reader.Int64();
        for (var left = reader.Int32(); left > 0; left--)
            ended.Add(new EndedTransaction(reader.Int64(), reader.Int64()));
        return true;
    }

    private static void Seal(Span<byte> bytes, short version = Version)
    {
        BinaryPrimitives.WriteInt16BigEndian(bytes, version);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[CrcOffset..], Crc32C.Compute(bytes[BodyOffset..]));
    }

    private static bool IsIntact(ReadOnlySpan<byte> bytes, int minLength, short newest) =>
        bytes.Length >= minLength && BinaryPrimitives.ReadInt16BigEndian(bytes) is var version && version >= Version && version <= newest
        && ReadCrc(bytes) == Crc32C.Compute(bytes[BodyOffset..]);

    private static uint ReadCrc(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32BigEndian(bytes[CrcOffset..]);

    private sealed record Older(bool StartedAtZero, long LastAppendTime, ProducerBatch[] Batches);

    private ref struct Writer(Span<byte> bytes, int position)
    {
        private readonly Span<byte> _bytes = bytes;
        private int _position = position;

        public void Byte(byte value) => _bytes[_position++] = value;
        public void Int16(short value) => BinaryPrimitives.WriteInt16BigEndian(Next(2), value);
        public void Int32(int value) => BinaryPrimitives.WriteInt32BigEndian(Next(4), value);
        public void Int64(long value) => BinaryPrimitives.WriteInt64BigEndian(Next(8), value);

        private Span<byte> Next(int size)
        {
            var next = _bytes.Slice(_position, size);
            _position += size;
            return next;
        }
    }

    private ref struct Reader(ReadOnlySpan<byte> bytes, int position)
    {
        private readonly ReadOnlySpan<byte> _bytes = bytes;
        private int _position = position;

        public byte Byte() => _bytes[_position++];
        public short Int16() => BinaryPrimitives.ReadInt16BigEndian(Next(2));
        public int Int32() => BinaryPrimitives.ReadInt32BigEndian(Next(4));
        public long Int64() => BinaryPrimitives.ReadInt64BigEndian(Next(8));

        private ReadOnlySpan<byte> Next(int size)
        {
            var next = _bytes.Slice(_position, size);
            _position += size;
            return next;
        }
    }
}
