using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Schedules;

/// <summary>
/// What is scheduled: the value of a scheduled record in the schedules' log. Numbers are big-endian.
/// <code>
/// version i8 = 0; 2: with a cron | content i64 | created at i64 | partition i32 (-1: by the key) | topic id 16 | id | topic | cron
///     | time zone | key | value | headers i32, each: name | value | begins i64, where there is a cron
/// </code>
/// Id, topic, cron and time zone are UTF-8 behind their length as u16, empty for none; key, value and headers are bytes behind their
/// length as i32, which is -1 for null. The content is a hash of all that follows the creation time. A broker that does not know
/// repetition refuses version 2: where it leads, the partition goes offline, and no schedule ends.
/// </summary>
internal sealed record ScheduledPayload
{
    private const byte Version = 0;
    private const byte RepeatsVersion = ScheduleRecords.Repeats;
    private const int CreatedAtByte = 1 + sizeof(long);
    private const int PartitionByte = CreatedAtByte + sizeof(long);
    private const int TopicIdByte = ScheduleRecords.TopicIdByte;
    private const int HeaderBytes = TopicIdByte + 16;

    /// <summary>The id that the caller gave it, or was given.</summary>
    public required string Id { get; init; }
    /// <summary>The topic.</summary>
    public required string Topic { get; init; }
    /// <summary>Its id. One that is created again under the same name is another.</summary>
    public required Guid TopicId { get; init; }
    /// <summary>The partition; -1: by the key, as a producer chooses it.</summary>
    public int Partition { get; init; } = -1;
    /// <summary>When it was scheduled, in milliseconds since 1970.</summary>
    public long CreatedAt { get; init; }
    /// <summary>When it repeats; empty: it does not.</summary>
    public string Cron { get; init; } = "";
    /// <summary>The zone of <see cref="Cron"/>.</summary>
    public string TimeZone { get; init; } = "";
    /// <summary>Where it repeats, the time before which no firing counts, in milliseconds since 1970.</summary>
    public long Begins { get; init; }
    /// <summary>The record's key.</summary>
    public ReadOnlyMemory<byte>? Key { get; init; }
    /// <summary>The record's value.</summary>
    public ReadOnlyMemory<byte>? Value { get; init; }
    /// <summary>The record's headers.</summary>
    public IReadOnlyList<RecordHeader> Headers { get; init; } = [];

    /// <summary>The bytes of key, value and headers.</summary>
    public long ContentBytes => (Key?.Length ?? 0) + (Value?.Length ?? 0)
        + Headers.Sum(header => (long)header.Key.Length + (header.Value?.Length ?? 0));

    /// <summary>Whether it repeats.</summary>
    public bool Repeats => Cron.Length > 0;

    /// <summary>The bytes of all of it, encoded.</summary>
    public int EncodedBytes => HeaderBytes + Texts.Sum(text => sizeof(ushort) + Encoding.UTF8.GetByteCount(text)) + SizeOf(Key)
        + SizeOf(Value) + sizeof(int) + Headers.Sum(header => SizeOf(header.Key) + SizeOf(header.Value)) + (Repeats ? sizeof(long) : 0);

    private string[] Texts => [Id, Topic, Cron, TimeZone];

    /// <summary>The id in a handle: a hash of the topic and the id that the caller gave.</summary>
    public static Guid HashOf(Guid topicId, string id)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData([.. topicId.ToByteArray(bigEndian: true), .. Encoding.UTF8.GetBytes(id)], hash);
        return new Guid(hash[..16], bigEndian: true);
    }

    /// <summary>Returns the partition of the schedules that a hash belongs to. Every broker comes to the same.</summary>
    public static int PartitionOf(Guid hash, int partitions) =>
        (int)(BinaryPrimitives.ReadUInt32BigEndian(hash.ToByteArray(bigEndian: true)) % (uint)partitions);

    /// <summary>Encodes it.</summary>
    public byte[] Encode()
    {
        var bytes = new byte[EncodedBytes];
        bytes[0] = Repeats ? RepeatsVersion : Version;
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(CreatedAtByte), CreatedAt);
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(PartitionByte), Partition);
        TopicId.TryWriteBytes(bytes.AsSpan(TopicIdByte), bigEndian: true, out _);
        var at = HeaderBytes;
        foreach (var text in Texts)
        {
            var length = Encoding.UTF8.GetBytes(text, bytes.AsSpan(at + sizeof(ushort)));
            BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(at), checked((ushort)length));
            at += sizeof(ushort) + length;
        }
        Write(bytes, ref at, Key);
        Write(bytes, ref at, Value);
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(at), Headers.Count);
        at += sizeof(int);
        foreach (var header in Headers)
        {
            Write(bytes, ref at, header.Key);
            Write(bytes, ref at, header.Value);
        }
        if (Repeats)
            BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(at), Begins);
        SHA256.HashData(bytes.AsSpan(PartitionByte)).AsSpan(0, sizeof(long)).CopyTo(bytes.AsSpan(1));
        return bytes;
    }

    /// <summary>Copies it, with memory of its own.</summary>
    public ScheduledPayload Copy() => this with
    {
        Key = Copy(Key),
        Value = Copy(Value),
        Headers = [.. Headers.Select(static header => new RecordHeader(header.Key.ToArray(), Copy(header.Value)))],
    };

    /// <summary>Decodes it; key, value and headers are slices of the bytes.</summary>
    /// <exception cref="InvalidDataException">The bytes are none, or of a later version.</exception>
    public static ScheduledPayload Decode(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            if (bytes.Span[0] is not (Version or RepeatsVersion))
                throw new InvalidDataException($"A scheduled record has version {bytes.Span[0]}, which this broker does not know.");
            var at = HeaderBytes;
            var payload = new ScheduledPayload
            {
                CreatedAt = BinaryPrimitives.ReadInt64BigEndian(bytes.Span[CreatedAtByte..]),
                Partition = BinaryPrimitives.ReadInt32BigEndian(bytes.Span[PartitionByte..]),
                TopicId = new Guid(bytes.Span[TopicIdByte..HeaderBytes], bigEndian: true),
                Id = ReadText(bytes.Span, ref at),
                Topic = ReadText(bytes.Span, ref at),
                Cron = ReadText(bytes.Span, ref at),
                TimeZone = ReadText(bytes.Span, ref at),
                Key = ReadBytes(bytes, ref at),
                Value = ReadBytes(bytes, ref at),
            };
            var headers = new RecordHeader[BinaryPrimitives.ReadInt32BigEndian(bytes.Span[at..])];
            at += sizeof(int);
            for (var i = 0; i < headers.Length; i++)
                headers[i] = new RecordHeader(ReadBytes(bytes, ref at).GetValueOrDefault(), ReadBytes(bytes, ref at));
            return payload with { Headers = headers, Begins = payload.Repeats ? BinaryPrimitives.ReadInt64BigEndian(bytes.Span[at..]) : 0 };
        }
        catch (Exception fault) when (fault is ArgumentException or IndexOutOfRangeException or OverflowException)
        {
            throw new InvalidDataException("The bytes are no scheduled record.", fault);
        }
    }

    private static ReadOnlyMemory<byte>? Copy(ReadOnlyMemory<byte>? bytes) =>
        bytes is { } some ? some.ToArray() : (ReadOnlyMemory<byte>?)null;

    private static int SizeOf(ReadOnlyMemory<byte>? bytes) => sizeof(int) + (bytes?.Length ?? 0);

    private static void Write(byte[] bytes, ref int at, ReadOnlyMemory<byte>? value)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(at), value?.Length ?? -1);
        at += sizeof(int);
        value.GetValueOrDefault().CopyTo(bytes.AsMemory(at));
        at += value?.Length ?? 0;
    }

    private static string ReadText(ReadOnlySpan<byte> bytes, ref int at)
    {
        var length = BinaryPrimitives.ReadUInt16BigEndian(bytes[at..]);
        var text = Encoding.UTF8.GetString(bytes.Slice(at + sizeof(ushort), length));
        at += sizeof(ushort) + length;
        return text;
    }

    private static ReadOnlyMemory<byte>? ReadBytes(ReadOnlyMemory<byte> bytes, ref int at)
    {
        var length = BinaryPrimitives.ReadInt32BigEndian(bytes.Span[at..]);
        at += sizeof(int);
        if (length < 0)
            return null;
        var value = bytes.Slice(at, length);
        at += length;
        return value;
    }
}
