using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.Json;
using OrleansMq.Records;

namespace OrleansMq.State;

/// <summary>
/// A state document as stored in its file: <c>{"version":7,"name":"orders","crc":"1a2b3c4d","value":{...}}</c>. The version counts the
/// writes and is the etag. The value is preserved byte for byte. The CRC-32C covers all three; a file without it is accepted, as earlier
/// versions wrote it, and so that a file can be repaired by hand.
/// </summary>
internal readonly record struct StateEnvelope(long Version, string Name, ReadOnlyMemory<byte> Value)
{
    public byte[] ToBytes()
    {
        var buffer = new ArrayBufferWriter<byte>(Value.Length + 64);
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteNumber("version"u8, Version);
            writer.WriteString("name"u8, Name);
            writer.WriteString("crc"u8, Crc.ToString("x8", CultureInfo.InvariantCulture));
            writer.WritePropertyName("value"u8);
            writer.WriteRawValue(Value.Span);
            writer.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    private uint Crc
    {
        get
        {
            Span<byte> version = stackalloc byte[sizeof(long)];
            BinaryPrimitives.WriteInt64BigEndian(version, Version);
            return Crc32C.Append(Crc32C.Append(Crc32C.Compute(version), Encoding.UTF8.GetBytes(Name)), Value.Span);
        }
    }

    /// <summary>Parses the content of a file.</summary>
    /// <exception cref="JsonException">The bytes are not an envelope, or were changed after they were written.</exception>
    public static StateEnvelope Parse(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            return ParseText(bytes);
        }
        catch (InvalidOperationException invalid)
        {
            throw new JsonException("a text in it is not UTF-8", invalid);
        }
    }

    private static StateEnvelope ParseText(ReadOnlyMemory<byte> bytes)
    {
        var reader = new Utf8JsonReader(bytes.Span);
        long? version = null;
        string? name = null;
        string? crc = null;
        ReadOnlyMemory<byte>? value = null;
        Expect(reader.Read() && reader.TokenType == JsonTokenType.StartObject, "it is not a JSON object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var property = reader.GetString();
            reader.Read();
            switch (property)
            {
                case "version":
                    Expect(reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var number) && (version = number) > 0,
                        "its version is not a number above 0");
                    break;
                case "name":
                    Expect(reader.TokenType == JsonTokenType.String, "its name is not a string");
                    name = reader.GetString();
                    break;
                case "crc":
                    Expect(reader.TokenType == JsonTokenType.String, "its checksum is not a string");
                    crc = reader.GetString();
                    break;
                case "value":
                    var start = (int)reader.TokenStartIndex;
                    reader.Skip();
                    value = bytes[start..(int)reader.BytesConsumed];
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
        Expect(!reader.Read(), "other data follows it");
        Expect(version is not null && name is not null && value is not null, "its version, name or value is missing");
        var envelope = new StateEnvelope(version.Value, name, value.Value);
        Expect(crc is null || crc == envelope.Crc.ToString("x8", CultureInfo.InvariantCulture),
            "its content was changed after it was written (the checksum differs)");
        return envelope;
    }

    private static void Expect([DoesNotReturnIf(false)] bool condition, string otherwise)
    {
        if (!condition)
            throw new JsonException(otherwise);
    }
}
