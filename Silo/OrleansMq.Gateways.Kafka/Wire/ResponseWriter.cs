using System.Buffers.Binary;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Gateways.Connections;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Kafka.Wire;

/// <summary>A response has grown beyond <see cref="ResponseWriter.MaxFieldBytes"/>: the client asked for too much at once.</summary>
internal sealed class AnswerTooLargeException()
    : Exception($"The answer has more than {ResponseWriter.MaxFieldBytes} bytes: ask for less at once.");

/// <summary>
/// A Kafka response: fields in pooled memory, and the records of fetches between them, which are sent from where they are. See
/// <see cref="RequestReader"/> for the two forms of lengths.
/// </summary>
internal sealed class ResponseWriter : Response
{
    /// <summary>The most bytes of a response beside records: 100 MiB, about what clients receive by default.</summary>
    public const int MaxFieldBytes = 100 << 20;

    private readonly PooledBuffer _fields = new(256);
    private List<Splice>? _splices;
    private long _splicedBytes;
    // Where the throttle time is; 0 for none: the header is there.
    private int _throttleAt;

    /// <param name="version">The version of the request.</param>
    /// <param name="isFlexible">Whether the body is in the flexible form.</param>
    public ResponseWriter(short version, bool isFlexible)
    {
        Version = version;
        IsFlexible = isFlexible;
    }

    /// <summary>The version of request and response.</summary>
    public short Version { get; }

    /// <summary>Whether lengths are compact and structures end with tagged fields.</summary>
    public bool IsFlexible { get; }

    /// <summary>The size so far in bytes, including the length in front of the frame.</summary>
    public override long Length => _fields.Length + _splicedBytes;

    public void WriteInt8(sbyte value)
    {
        Room(1)[0] = (byte)value;
        _fields.Advance(1);
    }

    public void WriteBool(bool value) => WriteInt8(value ? (sbyte)1 : (sbyte)0);

    public void WriteInt16(short value)
    {
        BinaryPrimitives.WriteInt16BigEndian(Room(2), value);
        _fields.Advance(2);
    }

    public void WriteError(ErrorCode error) => WriteInt16((short)error);

    public void WriteInt32(int value)
    {
        BinaryPrimitives.WriteInt32BigEndian(Room(4), value);
        _fields.Advance(4);
    }

    public void WriteInt64(long value)
    {
        BinaryPrimitives.WriteInt64BigEndian(Room(8), value);
        _fields.Advance(8);
    }

    public void WriteDouble(double value)
    {
        BinaryPrimitives.WriteDoubleBigEndian(Room(8), value);
        _fields.Advance(8);
    }

    /// <summary>Writes the field for the throttle time. It is 0 until <see cref="Throttle"/>.</summary>
    public void WriteThrottle()
    {
        _throttleAt = _fields.Length;
        WriteInt32(0);
    }

    /// <summary>Sets the throttle time, where the response has one.</summary>
    /// <param name="milliseconds">How long the client is to send nothing.</param>
    public void Throttle(int milliseconds)
    {
        if (_throttleAt > 0)
            BinaryPrimitives.WriteInt32BigEndian(_fields.WrittenSpan[_throttleAt..], milliseconds);
    }

    public void WriteUuid(Guid value)
    {
        value.TryWriteBytes(Room(16), bigEndian: true, out _);
        _fields.Advance(16);
    }

    /// <summary>Writes a string, or null if the field allows it.</summary>
    public void WriteString(string? value)
    {
        var length = value is null ? -1 : Encoding.UTF8.GetByteCount(value);
        if (length > short.MaxValue)
        {
            // No name or message of ours is that long, but one that includes a client's text could be.
            value = value![..1000];
            length = Encoding.UTF8.GetByteCount(value);
        }
        if (IsFlexible)
            WriteUnsignedVarInt((uint)(length + 1));
        else
            WriteInt16((short)length);
        if (value is null)
            return;
        Encoding.UTF8.GetBytes(value, Room(length));
        _fields.Advance(length);
    }

    public void WriteBytes(ReadOnlySpan<byte> value)
    {
        WriteLength(value.Length);
        Write(value);
    }

    /// <summary>Writes bytes without a length before them.</summary>
    public void WriteRaw(ReadOnlySpan<byte> value) => Write(value);

    /// <summary>Writes the records of a fetch, which are sent from where they are, and disposed with this response.</summary>
    public void WriteRecords(FetchResult fetched)
    {
        WriteLength(fetched.Length);
        AddRecords(fetched);
    }

    /// <summary>Writes records that were read in several parts.</summary>
    public void WriteRecords(IReadOnlyList<FetchResult> parts)
    {
        WriteLength(parts.Sum(static part => part.Length));
        foreach (var part in parts)
            AddRecords(part);
    }

    private void AddRecords(FetchResult fetched)
    {
        if (fetched.Length == 0)
        {
            fetched.Dispose();
            return;
        }
        (_splices ??= []).Add(new Splice(_fields.Length, fetched));
        _splicedBytes += fetched.Length;
        HasSlices |= fetched.Slice is not null;
        LargestRecords = Math.Max(LargestRecords, fetched.Length);
    }

    /// <summary>Begins an array with that many elements; -1 for null.</summary>
    public void WriteLength(int count)
    {
        if (IsFlexible)
            WriteUnsignedVarInt((uint)(count + 1));
        else
            WriteInt32(count);
    }

    public void WriteInt32Array(ReadOnlySpan<int> values)
    {
        WriteLength(values.Length);
        foreach (var value in values)
            WriteInt32(value);
    }

    public void WriteInt32Array(IReadOnlyList<int> values)
    {
        WriteLength(values.Count);
        foreach (var value in values)
            WriteInt32(value);
    }

    /// <summary>Ends a structure without tagged fields.</summary>
    public void WriteNoTags()
    {
        if (IsFlexible)
            WriteInt8(0);
    }

    /// <summary>Writes the number of tagged fields that follow. Only in flexible versions.</summary>
    public void WriteTagCount(int count) => WriteUnsignedVarInt((uint)count);

    /// <summary>Writes a tagged field. Only in flexible versions.</summary>
    /// <param name="tag">The field's tag.</param>
    /// <param name="state">The state for <paramref name="write"/>.</param>
    /// <param name="write">Writes the field's content.</param>
    public void WriteTag<T>(int tag, T state, Action<ResponseWriter, T> write)
    {
        using var content = new ResponseWriter(Version, IsFlexible);
        write(content, state);
        WriteUnsignedVarInt((uint)tag);
        WriteUnsignedVarInt((uint)content._fields.Length);
        Write(content._fields.WrittenSpan);
    }

    /// <summary>Reserves the length in front of the frame, and writes the response's header.</summary>
    public void WriteHeader(int correlationId, bool hasTags)
    {
        WriteInt32(0);
        WriteInt32(correlationId);
        if (hasTags)
            WriteInt8(0);
    }

    /// <summary>Sets the length in front of the frame, and returns its parts in order: fields and records.</summary>
    public override IEnumerable<ResponsePart> Parts()
    {
        BinaryPrimitives.WriteInt32BigEndian(_fields.WrittenSpan, checked((int)(Length - sizeof(int))));
        var sent = 0;
        foreach (var splice in _splices ?? [])
        {
            yield return new ResponsePart(_fields.WrittenMemory[sent..splice.At], null);
            yield return new ResponsePart(splice.Fetched.Records, splice.Fetched.Slice);
            sent = splice.At;
        }
        yield return new ResponsePart(_fields.WrittenMemory[sent..], null);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _fields.Dispose();
        foreach (var splice in _splices ?? [])
            splice.Fetched.Dispose();
        _splices = null;
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Room(bytes.Length));
        _fields.Advance(bytes.Length);
    }

    private Span<byte> Room(int bytes) =>
        _fields.Length <= MaxFieldBytes - bytes ? _fields.GetSpan(bytes) : throw new AnswerTooLargeException();

    private void WriteUnsignedVarInt(uint value)
    {
        var span = Room(5);
        var length = 0;
        for (; value >= 0x80; value >>= 7)
            span[length++] = (byte)(value | 0x80);
        span[length++] = (byte)value;
        _fields.Advance(length);
    }

    private readonly record struct Splice(int At, FetchResult Fetched);
}
