using System.Buffers.Binary;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>What a partition must know before it reads its log.</summary>
/// <param name="LogStartOffset">Records below it are not visible to readers.</param>
/// <param name="RecoveryPoint">Where recovery after a crash begins: everything before it is checked, indexed and durable.</param>
/// <param name="FlushedPoint">Everything before it was durable when this was written, and more may be since. Damage before it is never
/// cut.</param>
/// <param name="Snapshots">The snapshots that exist for the recovery point; the others were not needed there.</param>
/// <param name="IsBeingEmptied">Whether the log is being emptied and will start at the log start offset: all existing segment files must
/// go.</param>
/// <param name="Replica">What replication stores beside the log.</param>
/// <param name="HasTransactions">Whether the log has, or had, a transaction: each segment below the recovery point has an index of aborted
/// ones, and one that lacks it has lost it.</param>
internal readonly record struct CheckpointState(long LogStartOffset, LogPosition RecoveryPoint, LogPosition FlushedPoint,
    StateKinds Snapshots, bool IsBeingEmptied = false, ReplicaMarks Replica = default,
    bool HasTransactions = false)
{
    /// <summary>The state of a partition without a checkpoint.</summary>
    public static readonly CheckpointState Unknown = new(-1, LogPosition.None, LogPosition.None, StateKinds.All);
}

/// <summary>
/// The file <c>partition-checkpoint</c>: two slots of one disk sector each, written alternately and in place. The file's length and place
/// never change, so flushing it is as cheap as possible. A slot torn by a power cut fails its CRC, and the other one is used. Big-endian:
/// <code>
///   0 magic u32 = 0x4F4D5150 ("OMQP") | 4 crc u32, CRC-32C of bytes 8 to 511 | 8 version i16 = 1 | 10 flags i16 (bit 0: has producers,
///     1: is being emptied, 2: counted only flushed, 3: has cursors,
///     4: has message ids, 5: has transactions)
///  12 zero i32 | 16 sequence i64, the higher one counts
///  24 log start offset i64
///  32 recovery point: offset i64 | 40 segment base i64 | 48 position i64          (-1 each: not known)
///  56 flushed point:  offset i64 | 64 segment base i64 | 72 position i64          (-1 each: not known)
///  80 incarnation, 16 bytes | 96 boot id, 16 bytes                               (zeros: none; a UUID's bytes, most significant first)
/// 112 fence i32 | 116 zero i32 | 120 high watermark i64, a lower bound            (zeros: none)
/// 128 zeros up to 512
/// </code>
/// </summary>
/// <remarks>Not thread safe: <see cref="DurablePoints"/> uses it under the flush lock.</remarks>
internal sealed class PartitionCheckpoint(IFileSystem files, string directory)
{
    private const int SlotBytes = 512;
    private const uint Magic = 0x4F4D5150;
    private const short Version = 1;
    private const short HasProducersFlag = 1;
    private const short IsBeingEmptiedFlag = 2;
    private const short CountedOnlyFlushedFlag = 4;
    private const short HasCursorsFlag = 8;
    private const short HasDedupeFlag = 16;
    private const short HasTransactionsFlag = 32;

    private readonly byte[] _slot = new byte[SlotBytes];
    private long _sequence;

    /// <summary>The file's path.</summary>
    public string Path { get; } = System.IO.Path.Combine(directory, LogFiles.Checkpoint);

    /// <summary>
    /// Reads the newer of the valid slots.
    /// </summary>
    /// <returns>False if the file is missing or neither slot is valid; then <paramref name="state"/> is
    /// <see cref="CheckpointState.Unknown"/>.</returns>
    public bool TryRead(out CheckpointState state)
    {
        state = CheckpointState.Unknown;
        if (!files.FileExists(Path))
            return false;
        using var file = files.Open(Path, FileOpening.Read);
        Span<byte> slot = stackalloc byte[SlotBytes];
        var found = false;
        for (var number = 0; number < 2; number++)
        {
            if (file.Read(slot, number * SlotBytes) < SlotBytes || !IsWhole(slot))
                continue;
            var sequence = BinaryPrimitives.ReadInt64BigEndian(slot[16..]);
            if (found && sequence <= _sequence)
                continue;
            found = true;
            _sequence = sequence;
            state = Decode(slot);
        }
        return found;
    }

    /// <summary>Writes the other slot durably.</summary>
    /// <param name="file">The open file (see <see cref="Create"/>).</param>
    /// <param name="state">The state to write.</param>
    public void Write(IFile file, in CheckpointState state)
    {
        var sequence = Put(file, state);
        FlushOnce.Flush(file);
        _sequence = sequence;
    }

    /// <summary>Writes the other slot without a flush; a power cut may lose it.</summary>
    public void WriteWithoutFlush(IFile file, in CheckpointState state) => _sequence = Put(file, state);

    private long Put(IFile file, in CheckpointState state)
    {
        // The sequence advances only after the write. After a failed write the next one uses the same slot, so that the other stays valid.
        var sequence = _sequence + 1;
        Encode(state, sequence);
        file.Write(_slot, sequence % 2 * SlotBytes);
        return sequence;
    }

    /// <summary>Creates the file, or replaces one of another length, with <paramref name="state"/> in both slots. Durable.</summary>
    public void Create(in CheckpointState state)
    {
        // The file gets its name only when it is complete: a crash leaves no file or a valid one.
        Span<byte> both = stackalloc byte[2 * SlotBytes];
        for (var number = 0; number < 2; number++)
        {
            _sequence++;
            Encode(state, _sequence);
            _slot.CopyTo(both[(int)(_sequence % 2 * SlotBytes)..]);
        }
        AtomicFile.Write(files, Path, both);
    }

    private void Encode(in CheckpointState state, long sequence)
    {
        var slot = _slot.AsSpan();
        BinaryPrimitives.WriteUInt32BigEndian(slot, Magic);
        BinaryPrimitives.WriteInt16BigEndian(slot[8..], Version);
        BinaryPrimitives.WriteInt16BigEndian(slot[10..], FlagsOf(state));
        BinaryPrimitives.WriteInt64BigEndian(slot[16..], sequence);
        BinaryPrimitives.WriteInt64BigEndian(slot[24..], state.LogStartOffset);
        WritePosition(slot[32..], state.RecoveryPoint);
        WritePosition(slot[56..], state.FlushedPoint);
        state.Replica.Incarnation.TryWriteBytes(slot[80..], bigEndian: true, out _);
        state.Replica.BootId.TryWriteBytes(slot[96..], bigEndian: true, out _);
        BinaryPrimitives.WriteInt32BigEndian(slot[112..], state.Replica.Fence);
        BinaryPrimitives.WriteInt64BigEndian(slot[120..], state.Replica.HighWatermark);
        BinaryPrimitives.WriteUInt32BigEndian(slot[4..], Crc32C.Compute(slot[8..]));
    }

    private static bool IsWhole(ReadOnlySpan<byte> slot) =>
        BinaryPrimitives.ReadUInt32BigEndian(slot) == Magic
        && BinaryPrimitives.ReadUInt32BigEndian(slot[4..]) == Crc32C.Compute(slot[8..])
        && BinaryPrimitives.ReadInt16BigEndian(slot[8..]) == Version;

    private static CheckpointState Decode(ReadOnlySpan<byte> slot)
    {
        var flags = BinaryPrimitives.ReadInt16BigEndian(slot[10..]);
        var replica = new ReplicaMarks(new Guid(slot[80..96], bigEndian: true), new Guid(slot[96..112], bigEndian: true),
            BinaryPrimitives.ReadInt32BigEndian(slot[112..]), (flags & CountedOnlyFlushedFlag) != 0,
            BinaryPrimitives.ReadInt64BigEndian(slot[120..]));
        return new CheckpointState(BinaryPrimitives.ReadInt64BigEndian(slot[24..]), ReadPosition(slot[32..]), ReadPosition(slot[56..]),
            ((flags & HasProducersFlag) != 0 ? StateKinds.Producers : 0) | ((flags & HasCursorsFlag) != 0 ? StateKinds.Cursors : 0)
                | ((flags & HasDedupeFlag) != 0 ? StateKinds.Dedupe : 0),
            (flags & IsBeingEmptiedFlag) != 0, replica, (flags & HasTransactionsFlag) != 0);
    }

    private static short FlagsOf(in CheckpointState state) => (short)(((state.Snapshots & StateKinds.Producers) != 0 ? HasProducersFlag : 0)
        | ((state.Snapshots & StateKinds.Cursors) != 0 ? HasCursorsFlag : 0)
        | ((state.Snapshots & StateKinds.Dedupe) != 0 ? HasDedupeFlag : 0)
        | (state.HasTransactions ? HasTransactionsFlag : 0)
        | (state.IsBeingEmptied ? IsBeingEmptiedFlag : 0) | (state.Replica.CountedOnlyFlushed ? CountedOnlyFlushedFlag : 0));

    private static void WritePosition(Span<byte> bytes, LogPosition position)
    {
        BinaryPrimitives.WriteInt64BigEndian(bytes, position.Offset);
        BinaryPrimitives.WriteInt64BigEndian(bytes[8..], position.SegmentBase);
        BinaryPrimitives.WriteInt64BigEndian(bytes[16..], position.Position);
    }

    private static LogPosition ReadPosition(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadInt64BigEndian(bytes), BinaryPrimitives.ReadInt64BigEndian(bytes[8..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[16..]));
}
