using System.Buffers.Binary;
using System.Text;

namespace OrleansMq.Tests.Kafka.Schemas;

/// <summary>The values of a message's fields.</summary>
public interface IFieldValues
{
    /// <summary>Returns the number of elements of an array; -1 for null.</summary>
    int Length(Field field, bool mayBeNull);

    /// <summary>Whether a structure that is not an array is null.</summary>
    bool IsNull(Field field);

    /// <summary>Returns a number, a bool, a string, a Guid or bytes; null where allowed.</summary>
    object? Value(Field field, bool mayBeNull);
}

/// <summary>Encodes messages by their schema.</summary>
public sealed class MessageEncoder(IFieldValues values)
{
    private readonly MemoryStream _bytes = new();
    private short _version;
    private bool _flexible;

    /// <summary>Encodes a whole request, header and body, without the length prefix.</summary>
    public byte[] Request(Message message, short version, int correlationId, string? clientId)
    {
        _bytes.SetLength(0);
        _version = version;
        _flexible = false;
        WriteInt16(message.Key);
        WriteInt16(version);
        WriteInt32(correlationId);
        WriteText(clientId);
        _flexible = message.Flexible.Contains(version);
        if (_flexible)
            _bytes.WriteByte(0);
        WriteFields(message.Fields);
        return _bytes.ToArray();
    }

    private void WriteFields(List<Field> fields)
    {
        foreach (var field in fields.Where(field => field.Tag is null && field.Versions.Contains(_version)))
            Write(field);
        if (!_flexible)
            return;
        var tagged = fields.Where(field => field.Tag is not null && field.Versions.Contains(_version)).OrderBy(static field => field.Tag)
            .ToArray();
        WriteUnsignedVarInt((uint)tagged.Length);
        foreach (var field in tagged)
        {
            var content = new MessageEncoder(values) { _version = _version, _flexible = true };
            content.Write(field);
            WriteUnsignedVarInt((uint)field.Tag!.Value);
            WriteUnsignedVarInt((uint)content._bytes.Length);
            content._bytes.WriteTo(_bytes);
        }
    }

    private void Write(Field field)
    {
        var mayBeNull = field.Nullable.Contains(_version);
        if (field.IsArray)
        {
            var length = values.Length(field, mayBeNull);
            WriteLength(length);
            for (var index = 0; index < length; index++)
                WriteElement(field, mayBeNull: false);
        }
        else
        {
            WriteElement(field, mayBeNull);
        }
    }

    private void WriteElement(Field field, bool mayBeNull)
    {
        if (field.Type != "struct")
        {
            WriteValue(field, values.Value(field, mayBeNull));
            return;
        }
        if (mayBeNull)
        {
            var isNull = values.IsNull(field);
            _bytes.WriteByte(isNull ? (byte)0xFF : (byte)1);
            if (isNull)
                return;
        }
        WriteFields(field.Fields);
    }

    private void WriteValue(Field field, object? value)
    {
        switch (field.Type)
        {
            case "bool":
                _bytes.WriteByte((bool)value! ? (byte)1 : (byte)0);
                break;
            case "int8":
                _bytes.WriteByte(unchecked((byte)Convert.ToInt64(value)));
                break;
            case "int16":
                WriteInt16(unchecked((short)Convert.ToInt64(value)));
                break;
            case "int32":
                WriteInt32(unchecked((int)Convert.ToInt64(value)));
                break;
            case "int64":
                Span<byte> wide = stackalloc byte[8];
                BinaryPrimitives.WriteInt64BigEndian(wide, Convert.ToInt64(value));
                _bytes.Write(wide);
                break;
            case "float64":
                Span<byte> real = stackalloc byte[8];
                BinaryPrimitives.WriteDoubleBigEndian(real, Convert.ToDouble(value));
                _bytes.Write(real);
                break;
            case "uuid":
                _bytes.Write(((Guid)value!).ToByteArray(bigEndian: true));
                break;
            case "string":
                WriteText((string?)value);
                break;
            case "bytes" or "records":
                WriteLength(((byte[]?)value)?.Length ?? -1);
                _bytes.Write((byte[]?)value ?? []);
                break;
            default:
                throw new InvalidOperationException($"{field.Name} has the type {field.Type}.");
        }
    }

    private void WriteText(string? text)
    {
        var bytes = text is null ? null : Encoding.UTF8.GetBytes(text);
        if (_flexible)
            WriteUnsignedVarInt((uint)((bytes?.Length ?? -1) + 1));
        else
            WriteInt16((short)(bytes?.Length ?? -1));
        _bytes.Write(bytes ?? []);
    }

    private void WriteLength(int length)
    {
        if (_flexible)
            WriteUnsignedVarInt((uint)(length + 1));
        else
            WriteInt32(length);
    }

    private void WriteInt16(short value)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteInt16BigEndian(bytes, value);
        _bytes.Write(bytes);
    }

    private void WriteInt32(int value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        _bytes.Write(bytes);
    }

    private void WriteUnsignedVarInt(uint value)
    {
        for (; value >= 0x80; value >>= 7)
            _bytes.WriteByte((byte)(value | 0x80));
        _bytes.WriteByte((byte)value);
    }
}
