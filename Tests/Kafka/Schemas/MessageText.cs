using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace OrleansMq.Tests.Kafka.Schemas;

/// <summary>Reads a response by its schema and prints it line by line. Bytes that do not match it, or are left over, are an
/// error.</summary>
public sealed class MessageText
{
    private readonly byte[] _bytes;
    private readonly short _version;
    private readonly StringBuilder _text = new();
    private bool _flexible;
    private int _at;

    private MessageText(byte[] bytes, short version)
    {
        _bytes = bytes;
        _version = version;
    }

    /// <summary>Prints a response without the length prefix.</summary>
    /// <param name="message">Its type.</param>
    /// <param name="version">Its version.</param>
    /// <param name="bytes">Header and body.</param>
    /// <param name="correlationId">The correlation id that it must have.</param>
    public static string OfResponse(Message message, short version, byte[] bytes, int correlationId)
    {
        var reader = new MessageText(bytes, version) { _flexible = message.Flexible.Contains(version) };
        if (BinaryPrimitives.ReadInt32BigEndian(reader.Take(4)) != correlationId)
            throw new InvalidDataException("It answers another request.");
        // ApiVersions keeps the old header.
        if (reader._flexible && message.Key != 18 && reader.Take(1)[0] != 0)
            throw new InvalidDataException("The header has tags.");
        reader.ReadFields(message.Fields, "  ");
        return reader._at == bytes.Length ? reader._text.ToString()
            : throw new InvalidDataException($"{bytes.Length - reader._at} bytes are left over:\n{reader._text}");
    }

    private void ReadFields(List<Field> fields, string indent)
    {
        foreach (var field in fields.Where(field => field.Tag is null && field.Versions.Contains(_version)))
            Read(field, indent);
        if (!_flexible)
            return;
        for (var left = ReadUnsignedVarInt(); left > 0; left--)
        {
            var (tag, length) = (ReadUnsignedVarInt(), ReadUnsignedVarInt());
            var end = _at + (int)length;
            Read(fields.Single(field => field.Tag == tag && field.Versions.Contains(_version)), indent);
            if (_at != end)
                throw new InvalidDataException($"Tag {tag} has {length} bytes, {_at - end} too few.");
        }
    }

    private void Read(Field field, string indent)
    {
        var mayBeNull = field.Nullable.Contains(_version);
        if (!field.IsArray)
        {
            if (field.Type == "struct")
                ReadStructure(field, indent, mayBeNull);
            else
                _text.Append(CultureInfo.InvariantCulture, $"{indent}{field.Name}: {Value(field, mayBeNull)}\n");
            return;
        }
        var count = ReadLength();
        Check(count >= 0 || mayBeNull, field);
        if (field.Type != "struct")
        {
            var items = count < 0 ? ["null"] : Enumerable.Range(0, count).Select(_ => Value(field, mayBeNull: false)).ToArray();
            _text.Append(CultureInfo.InvariantCulture, $"{indent}{field.Name}: [{string.Join(", ", items)}]\n");
            return;
        }
        if (count <= 0)
            _text.Append(CultureInfo.InvariantCulture, $"{indent}{field.Name}: {(count < 0 ? "null" : "[]")}\n");
        for (var index = 0; index < count; index++)
        {
            _text.Append(CultureInfo.InvariantCulture, $"{indent}{field.Name}[{index}]\n");
            ReadFields(field.Fields, indent + "  ");
        }
    }

    private void ReadStructure(Field field, string indent, bool mayBeNull)
    {
        if (mayBeNull && (sbyte)Take(1)[0] < 0)
        {
            _text.Append(CultureInfo.InvariantCulture, $"{indent}{field.Name}: null\n");
            return;
        }
        _text.Append(CultureInfo.InvariantCulture, $"{indent}{field.Name}\n");
        ReadFields(field.Fields, indent + "  ");
    }

    private string Value(Field field, bool mayBeNull)
    {
        switch (field.Type)
        {
            case "bool":
                return Take(1)[0] switch { 0 => "false", 1 => "true", _ =>
                    throw new InvalidDataException($"{field.Name} is neither true nor false.") };
            case "int8":
                return ((sbyte)Take(1)[0]).ToString(CultureInfo.InvariantCulture);
            case "int16":
                return BinaryPrimitives.ReadInt16BigEndian(Take(2)).ToString(CultureInfo.InvariantCulture);
            case "int32":
                return BinaryPrimitives.ReadInt32BigEndian(Take(4)).ToString(CultureInfo.InvariantCulture);
            case "int64":
                return BinaryPrimitives.ReadInt64BigEndian(Take(8)).ToString(CultureInfo.InvariantCulture);
            case "float64":
                return BinaryPrimitives.ReadDoubleBigEndian(Take(8)).ToString(CultureInfo.InvariantCulture);
            case "uuid":
                return new Guid(Take(16), bigEndian: true).ToString();
            case "string":
                var length = _flexible ? (int)ReadUnsignedVarInt() - 1 : BinaryPrimitives.ReadInt16BigEndian(Take(2));
                Check(length >= 0 || mayBeNull, field);
                return length < 0 ? "null" : $"\"{Encoding.UTF8.GetString(Take(length))}\"";
            case "bytes" or "records":
                var size = ReadLength();
                Check(size >= 0 || mayBeNull, field);
                return size < 0 ? "null" : $"{size} bytes {Convert.ToHexStringLower(Take(size))}".TrimEnd();
            default:
                throw new InvalidOperationException($"{field.Name} has the type {field.Type}.");
        }
    }

    private static void Check(bool allowed, Field field)
    {
        if (!allowed)
            throw new InvalidDataException($"{field.Name} must not be null.");
    }

    private int ReadLength() => _flexible ? (int)ReadUnsignedVarInt() - 1 : BinaryPrimitives.ReadInt32BigEndian(Take(4));

    private uint ReadUnsignedVarInt()
    {
        uint value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var next = Take(1)[0];
            value |= (uint)(next & 0x7F) << shift;
            if (next < 0x80)
                return value;
        }
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > _bytes.Length - _at)
            throw new InvalidDataException($"The response ends in the middle of a field:\n{_text}");
        _at += count;
        return _bytes.AsSpan(_at - count, count);
    }
}
