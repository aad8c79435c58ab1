using System.Buffers.Binary;

namespace OrleansMq.Schedules;

/// <summary>A record of the schedules' log.</summary>
/// <param name="Key">The key, by which the log is compacted.</param>
/// <param name="Value">The value; null removes the key, unless it is a copy.</param>
/// <param name="Copied">Whose value the log is to have here, too; null: <paramref name="Value"/> is the value. In the log there is no
/// such.</param>
internal readonly record struct ScheduleRecord(byte[] Key, ReadOnlyMemory<byte>? Value, CopiedPayload? Copied = null)
{
    /// <summary>The bytes of the value.</summary>
    public int ValueBytes => Copied?.Bytes ?? Value?.Length ?? 0;
}

/// <summary>The value of a scheduled record that is in the log.</summary>
/// <param name="Timer">The record.</param>
/// <param name="Bytes">How many bytes its value has.</param>
/// <param name="Repeats">Whether it repeats.</param>
internal readonly record struct CopiedPayload(ScheduledTimer Timer, int Bytes, bool Repeats);

/// <summary>
/// The records of the schedules' log, a compacted topic. Numbers are big-endian.
/// <code>
/// scheduled   key: 1 i8 | due i64 | id 16
///             value: 0 i8, or 2 where it repeats | content i64 | 12 bytes | topic id 16 | as the caller gave it: it waits, or is intended
///             value: 1 i8, or 3 where it goes on repeating | content i64 | at i64: it was appended; null: cancelled, dropped, or appended
///             and forgotten
///             A record that its topic refused has its first value again.
/// intent      key: 2 i8 | topic id 16 | partition i32 | first sequence i64
///             value: version i8 = 0 | origin i64 | count i32 | count * (due i64 | id 16 | reference i64 | content i64); null: published
/// sequence    key: 3 i8 | topic id 16 | partition i32    value: version i8 = 0 | next sequence i64; null: the target is gone
/// </code>
/// An intent and the sequence behind it are in one batch, with the next firings of those of its records that repeat: each is a scheduled
/// record with the same id and value, due later. The removal of an intent and what follows for its scheduled records are in one batch, too:
/// where one is scheduled again that repeats, its next firing is removed there, and those behind it get an intent with their sequences.
/// Hence every prefix of the log that ends between batches is a state, and compaction changes none.
/// </summary>
internal static class ScheduleRecords
{
    public const byte Scheduled = 1;
    public const byte Intent = 2;
    public const byte Sequence = 3;

    /// <summary>The first byte of the value of a scheduled record that repeats.</summary>
    public const byte Repeats = 2;

    /// <summary>Where the topic id of a scheduled record stands in its value.</summary>
    public const int TopicIdByte = 1 + 2 * sizeof(long) + sizeof(int);

    private const byte Version = 0;
    private const int HandleBytes = 24;
    private const int TargetBytes = 20;
    private const int TimerBytes = HandleBytes + 2 * sizeof(long);
    private const byte Waits = 0;
    private const byte Appended = 1;
    private const byte Fired = 3;
    private const int IntentHeaderBytes = 1 + sizeof(long) + sizeof(int);

    public static ScheduleRecord OfScheduled(ScheduleHandle handle, ReadOnlyMemory<byte> value) => new(Key(handle), value);

    /// <summary>Schedules the next firing of a record that repeats, or a record that its topic refused.</summary>
    public static ScheduleRecord OfCopied(ScheduleHandle handle, CopiedPayload copied) => new(Key(handle), null, copied);

    public static ScheduleRecord OfAppended(AppendedSchedule appended)
    {
        var value = new byte[1 + 2 * sizeof(long)];
        value[0] = appended.IsFiring ? Fired : Appended;
        BinaryPrimitives.WriteInt64BigEndian(value.AsSpan(1), appended.Content);
        BinaryPrimitives.WriteInt64BigEndian(value.AsSpan(1 + sizeof(long)), appended.At);
        return new ScheduleRecord(Key(appended.Handle), value);
    }

    public static ScheduleRecord Removal(ScheduleHandle handle) => new(Key(handle), null);

    /// <summary>Returns the content hash of a scheduled record.</summary>
    public static long ReadContent(ReadOnlySpan<byte> value) => value.Length > sizeof(long)
        ? BinaryPrimitives.ReadInt64BigEndian(value[1..]) : throw Malformed();

    /// <summary>Returns the topic of a scheduled record that waits.</summary>
    public static Guid ReadTopicId(ReadOnlySpan<byte> value) => value.Length >= TopicIdByte + 16
        ? new Guid(value.Slice(TopicIdByte, 16), bigEndian: true) : throw Malformed();

    /// <summary>Returns when a scheduled record was appended; null: it was not.</summary>
    public static long? ReadAppendedAt(ReadOnlySpan<byte> value) => (value.IsEmpty ? byte.MaxValue : value[0]) switch
    {
        Waits or Repeats => null,
        Appended or Fired => BinaryPrimitives.ReadInt64BigEndian(Sized(value, 1 + 2 * sizeof(long))[(1 + sizeof(long))..]),
        var version => throw new InvalidDataException($"A scheduled record has version {version}, which this broker does not know."),
    };

    /// <summary>Whether a record that was appended was a firing of a schedule that goes on.</summary>
    public static bool IsFiring(ReadOnlySpan<byte> value) => value[0] == Fired;

    /// <summary>Whether a record that waits repeats.</summary>
    public static bool IsRepeating(ReadOnlySpan<byte> value) => value[0] == Repeats;

    public static ScheduleRecord OfIntent(ScheduleIntent intent)
    {
        var value = new byte[IntentHeaderBytes + intent.Timers.Count * TimerBytes];
        value[0] = Version;
        BinaryPrimitives.WriteInt64BigEndian(value.AsSpan(1), intent.Origin);
        BinaryPrimitives.WriteInt32BigEndian(value.AsSpan(1 + sizeof(long)), intent.Timers.Count);
        var at = IntentHeaderBytes;
        foreach (var timer in intent.Timers)
        {
            Write(timer.Handle, value.AsSpan(at));
            BinaryPrimitives.WriteInt64BigEndian(value.AsSpan(at + HandleBytes), timer.Reference);
            BinaryPrimitives.WriteInt64BigEndian(value.AsSpan(at + HandleBytes + sizeof(long)), timer.Content);
            at += TimerBytes;
        }
        return new ScheduleRecord(IntentKey(intent), value);
    }

    public static ScheduleRecord Removal(ScheduleIntent intent) => new(IntentKey(intent), null);

    public static ScheduleRecord OfSequence(ScheduleTarget target, long next)
    {
        var value = new byte[1 + sizeof(long)];
        value[0] = Version;
        BinaryPrimitives.WriteInt64BigEndian(value.AsSpan(1), next);
        return new ScheduleRecord(Key(Sequence, target), value);
    }

    public static ScheduleRecord Removal(ScheduleTarget target) => new(Key(Sequence, target), null);

    public static ScheduleHandle ReadHandle(ReadOnlySpan<byte> key) => ReadHandleAt(Sized(key, 1 + HandleBytes)[1..]);

    public static ScheduleTarget ReadTarget(ReadOnlySpan<byte> key)
    {
        if (key.Length < 1 + TargetBytes)
            throw Malformed();
        return new ScheduleTarget(new Guid(key.Slice(1, 16), bigEndian: true), BinaryPrimitives.ReadInt32BigEndian(key[17..]));
    }

    public static long ReadFirstSequence(ReadOnlySpan<byte> key) =>
        BinaryPrimitives.ReadInt64BigEndian(Sized(key, 1 + TargetBytes + sizeof(long))[(1 + TargetBytes)..]);

    public static long ReadSequence(ReadOnlySpan<byte> value) =>
        BinaryPrimitives.ReadInt64BigEndian(Versioned(Sized(value, 1 + sizeof(long)))[1..]);

    public static ScheduleIntent ReadIntent(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        if (value.Length < IntentHeaderBytes)
            throw Malformed();
        var origin = BinaryPrimitives.ReadInt64BigEndian(Versioned(value)[1..]);
        var count = BinaryPrimitives.ReadInt32BigEndian(value[(1 + sizeof(long))..]);
        if (count < 0 || count != (value.Length - IntentHeaderBytes) / TimerBytes || (value.Length - IntentHeaderBytes) % TimerBytes != 0)
            throw Malformed();
        var timers = new ScheduledTimer[count];
        for (var i = 0; i < count; i++)
        {
            var timer = value.Slice(IntentHeaderBytes + i * TimerBytes, TimerBytes);
            timers[i] = new ScheduledTimer(ReadHandleAt(timer), BinaryPrimitives.ReadInt64BigEndian(timer[HandleBytes..]),
                BinaryPrimitives.ReadInt64BigEndian(timer[(HandleBytes + sizeof(long))..]));
        }
        return new ScheduleIntent(ReadTarget(key), ReadFirstSequence(key), origin, timers);
    }

    private static byte[] Key(ScheduleHandle handle)
    {
        var key = new byte[1 + HandleBytes];
        key[0] = Scheduled;
        Write(handle, key.AsSpan(1));
        return key;
    }

    private static byte[] IntentKey(ScheduleIntent intent)
    {
        var key = new byte[1 + TargetBytes + sizeof(long)];
        Key(Intent, intent.Target).CopyTo(key, 0);
        BinaryPrimitives.WriteInt64BigEndian(key.AsSpan(1 + TargetBytes), intent.FirstSequence);
        return key;
    }

    private static byte[] Key(byte kind, ScheduleTarget target)
    {
        var key = new byte[1 + TargetBytes];
        key[0] = kind;
        target.TopicId.TryWriteBytes(key.AsSpan(1), bigEndian: true, out _);
        BinaryPrimitives.WriteInt32BigEndian(key.AsSpan(17), target.Partition);
        return key;
    }

    private static void Write(ScheduleHandle handle, Span<byte> bytes)
    {
        BinaryPrimitives.WriteInt64BigEndian(bytes, handle.Due);
        handle.Id.TryWriteBytes(bytes[sizeof(long)..], bigEndian: true, out _);
    }

    private static ScheduleHandle ReadHandleAt(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadInt64BigEndian(bytes), new Guid(bytes.Slice(sizeof(long), 16), bigEndian: true));

    private static ReadOnlySpan<byte> Sized(ReadOnlySpan<byte> bytes, int size) => bytes.Length == size ? bytes : throw Malformed();

    private static ReadOnlySpan<byte> Versioned(ReadOnlySpan<byte> value) => value[0] == Version ? value
        : throw new InvalidDataException($"A record of the schedules has version {value[0]}, which this broker does not know.");

    private static InvalidDataException Malformed() => new("The bytes are no record of the schedules.");
}
