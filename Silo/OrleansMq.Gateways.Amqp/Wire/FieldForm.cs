using System.Buffers.Binary;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>
/// The form of field values, checked before anything reads them, without memory.
/// <code>
/// table: uint32 bytes, then for each entry: octet length, name, value
/// array: uint32 bytes, then values
/// value: octet type, then as the type says
/// </code>
/// </summary>
internal static class FieldForm
{
    /// <summary>How deep tables and arrays may be nested: more than any header of a client, and little on the stack.</summary>
    public const int MaxDepth = 64;

    /// <summary>Returns what is wrong with the entries of a table; null if nothing is.</summary>
    public static string? FaultOfTable(ReadOnlySpan<byte> entries) => FaultOf(entries, hasNames: true, depth: 1);

    /// <summary>Returns what is wrong with the values of an array; null if nothing is.</summary>
    public static string? FaultOfArray(ReadOnlySpan<byte> values) => FaultOf(values, hasNames: false, depth: 1);

    /// <summary>The size of a value of a well-formed table, without its type.</summary>
    public static int SizeOf(FieldType type, ReadOnlySpan<byte> value) =>
        FixedSize(type) is >= 0 and var size ? size : sizeof(uint) + BinaryPrimitives.ReadInt32BigEndian(value);

    private static string? FaultOf(ReadOnlySpan<byte> bytes, bool hasNames, int depth)
    {
        if (depth > MaxDepth)
            return $"tables and arrays are nested deeper than {MaxDepth}";
        while (!bytes.IsEmpty)
        {
            if (hasNames)
            {
                if (bytes.Length < 1 + bytes[0])
                    return "a table ends within a name";
                bytes = bytes[(1 + bytes[0])..];
                if (bytes.IsEmpty)
                    return "a table ends before a value";
            }
            var type = (FieldType)bytes[0];
            bytes = bytes[1..];
            var size = FixedSize(type);
            if (size == Unknown)
                return $"a field has the unknown type {(int)type}";
            if (size == HasLength)
            {
                if (bytes.Length < sizeof(uint))
                    return "a table ends within a value";
                var length = BinaryPrimitives.ReadUInt32BigEndian(bytes);
                if (length > bytes.Length - sizeof(uint))
                    return "a table ends within a value";
                size = sizeof(uint) + (int)length;
                if (type is FieldType.Table or FieldType.Array
                    && FaultOf(bytes[sizeof(uint)..size], hasNames: type == FieldType.Table, depth + 1) is { } fault)
                    return fault;
            }
            if (size > bytes.Length)
                return "a table ends within a value";
            bytes = bytes[size..];
        }
        return null;
    }

    private const int HasLength = -1;
    private const int Unknown = -2;

    private static int FixedSize(FieldType type) => type switch
    {
        FieldType.Void => 0,
        FieldType.Boolean or FieldType.Int8 or FieldType.UInt8 => 1,
        FieldType.Int16 or FieldType.UInt16 => 2,
        FieldType.Int32 or FieldType.UInt32 or FieldType.Single => 4,
        FieldType.Decimal => 5,
        FieldType.Int64 or FieldType.LongLong or FieldType.Double or FieldType.Timestamp => 8,
        FieldType.LongString or FieldType.Bytes or FieldType.Array or FieldType.Table => HasLength,
        _ => Unknown,
    };
}
