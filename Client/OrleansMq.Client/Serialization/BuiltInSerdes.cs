using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OrleansMq.Client;

internal sealed class Utf8Serde : ISerde<string?>
{
    public void Serialize(string? value, IBufferWriter<byte> destination) => Encoding.UTF8.GetBytes(value, destination);

    public string? Deserialize(ReadOnlySpan<byte> bytes, bool isNull) => isNull ? null : Encoding.UTF8.GetString(bytes);
}

internal sealed class BytesSerde : ISerde<byte[]?>
{
    public void Serialize(byte[]? value, IBufferWriter<byte> destination) => destination.Write(value);

    public byte[]? Deserialize(ReadOnlySpan<byte> bytes, bool isNull) => isNull ? null : bytes.ToArray();
}

internal sealed class MemorySerde : ISerde<ReadOnlyMemory<byte>>
{
    public void Serialize(ReadOnlyMemory<byte> value, IBufferWriter<byte> destination) => destination.Write(value.Span);

    public ReadOnlyMemory<byte> Deserialize(ReadOnlySpan<byte> bytes, bool isNull) => isNull ? default : bytes.ToArray();
}

/// <summary>The serde of a number of fixed size, big-endian.</summary>
internal abstract class FixedSerde<T>(int size) : ISerde<T>
{
    public void Serialize(T value, IBufferWriter<byte> destination)
    {
        Write(destination.GetSpan(size), value);
        destination.Advance(size);
    }

    public T Deserialize(ReadOnlySpan<byte> bytes, bool isNull) =>
        !isNull && bytes.Length == size
            ? Read(bytes)
            : throw new FormatException($"{typeof(T).Name} is {size} bytes; the record has {(isNull ? "null" : bytes.Length + " bytes")}.");

    protected abstract void Write(Span<byte> destination, T value);

    protected abstract T Read(ReadOnlySpan<byte> bytes);
}

internal sealed class Int32Serde() : FixedSerde<int>(sizeof(int))
{
    protected override void Write(Span<byte> destination, int value) => BinaryPrimitives.WriteInt32BigEndian(destination, value);
    protected override int Read(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadInt32BigEndian(bytes);
}

internal sealed class Int64Serde() : FixedSerde<long>(sizeof(long))
{
    protected override void Write(Span<byte> destination, long value) => BinaryPrimitives.WriteInt64BigEndian(destination, value);
    protected override long Read(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadInt64BigEndian(bytes);
}

internal sealed class DoubleSerde() : FixedSerde<double>(sizeof(double))
{
    protected override void Write(Span<byte> destination, double value) => BinaryPrimitives.WriteDoubleBigEndian(destination, value);
    protected override double Read(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadDoubleBigEndian(bytes);
}

internal sealed class GuidSerde : ISerde<Guid>
{
    private const int TextLength = 36;

    public void Serialize(Guid value, IBufferWriter<byte> destination)
    {
        Utf8Formatter.TryFormat(value, destination.GetSpan(TextLength), out var written);
        destination.Advance(written);
    }

    public Guid Deserialize(ReadOnlySpan<byte> bytes, bool isNull) =>
        !isNull && Utf8Parser.TryParse(bytes, out Guid value, out var used) && used == bytes.Length
            ? value
            : throw new FormatException("The record holds no UUID as 36 characters of text.");
}

internal sealed class IgnoreSerde : ISerde<Ignore>
{
    public bool IsNull(Ignore value) => true;

    public void Serialize(Ignore value, IBufferWriter<byte> destination) { }

    public Ignore Deserialize(ReadOnlySpan<byte> bytes, bool isNull) => default;
}

internal sealed class JsonSerde<T>(JsonTypeInfo<T> type) : ISerde<T>
{
    // A writer's options are fixed at creation, so each thread caches one for the serde that used it last.
    [ThreadStatic]
    private static (JsonSerde<T>? Owner, Utf8JsonWriter? Writer) _cached;

    private readonly JsonWriterOptions _options = new() { Encoder = type.Options.Encoder, Indented = type.Options.WriteIndented };

    public void Serialize(T value, IBufferWriter<byte> destination)
    {
        var (owner, writer) = _cached;
        _cached = default; // Cleared while in use: a converter may itself serialize.
        if (owner == this && writer is not null)
            writer.Reset(destination);
        else
            writer = new Utf8JsonWriter(destination, _options);
        JsonSerializer.Serialize(writer, value, type);
        writer.Flush();
        _cached = (this, writer);
    }

    public T Deserialize(ReadOnlySpan<byte> bytes, bool isNull) => isNull ? default! : JsonSerializer.Deserialize(bytes, type)!;
}
