using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// Field values as JSON. Texts, booleans, 64-bit integers, arrays and tables are plain JSON. In stored documents a value of another type is
/// an object with one field that names the type: <c>{"!int32":10}</c>. Definitions, as RabbitMQ writes them, have plain values only.
/// </summary>
internal static class FieldJson
{
    private const char Mark = '!';
    private const string Table = "!table";
    private const string Double = "!double";
    private const string Single = "!float";
    private const string Decimal = "!decimal";
    private const string Binary = "!binary";
    private const string RawText = "!text";
    private const string Timestamp = "!timestamp";

    private static readonly ImmutableDictionary<string, IntegerKind> Integers = Enum.GetValues<IntegerKind>()
        .ToImmutableDictionary(kind => Mark + kind.ToString().ToLowerInvariant());

    private static readonly ImmutableDictionary<IntegerKind, string> IntegerMarks =
        Integers.ToImmutableDictionary(pair => pair.Value, pair => pair.Key);

    /// <summary>Converts a JSON value.</summary>
    /// <param name="json">The value.</param>
    /// <param name="isMarked">Whether objects may name a type, as in stored documents.</param>
    /// <exception cref="JsonException">The value has no meaning as a field.</exception>
    public static FieldValue Read(JsonElement json, bool isMarked) => json.ValueKind switch
    {
        JsonValueKind.Null => VoidValue.Instance,
        JsonValueKind.True => new BooleanValue(true),
        JsonValueKind.False => new BooleanValue(false),
        JsonValueKind.String => new TextValue(json.GetString()!),
        JsonValueKind.Number => json.TryGetInt64(out var integer) ? new IntegerValue(integer) : new FloatingValue(json.GetDouble()),
        JsonValueKind.Array => new ArrayValue([.. json.EnumerateArray().Select(item => Read(item, isMarked))]),
        _ => ReadObject(json, isMarked),
    };

    /// <summary>Converts a JSON object to a table.</summary>
    /// <inheritdoc cref="Read"/>
    public static FieldTable ReadTable(JsonElement json, bool isMarked) => json.ValueKind == JsonValueKind.Object
        ? FieldTable.Of(json.EnumerateObject().Select(field => KeyValuePair.Create(field.Name, Read(field.Value, isMarked))))
        : throw new JsonException($"A table of arguments is a JSON object, not {json.ValueKind}.");

    /// <summary>Writes a value.</summary>
    public static void Write(Utf8JsonWriter writer, FieldValue value, bool isMarked)
    {
        switch (value)
        {
            case VoidValue:
                writer.WriteNullValue();
                break;
            case BooleanValue boolean:
                writer.WriteBooleanValue(boolean.Value);
                break;
            case TextValue text:
                writer.WriteStringValue(text.Value);
                break;
            case ArrayValue array:
                writer.WriteStartArray();
                foreach (var item in array.Items)
                    Write(writer, item, isMarked);
                writer.WriteEndArray();
                break;
            case TableValue table when isMarked && table.Table.Fields.Keys.Any(name => name.StartsWith(Mark)):
                WriteMarked(writer, Table, () => WriteTable(writer, table.Table, isMarked));
                break;
            case TableValue table:
                WriteTable(writer, table.Table, isMarked);
                break;
            case IntegerValue { Kind: not IntegerKind.Int64 } integer when isMarked:
                WriteMarked(writer, IntegerMarks[integer.Kind], () => writer.WriteNumberValue(integer.Value));
                break;
            case IntegerValue integer:
                writer.WriteNumberValue(integer.Value);
                break;
            case FloatingValue floating when isMarked:
                WriteMarked(writer, floating.IsSingle ? Single : Double, () => writer.WriteStringValue(floating.ToString()));
                break;
            case FloatingValue floating when double.IsFinite(floating.Value):
                writer.WriteNumberValue(floating.Value);
                break;
            case DecimalValue number when isMarked:
                WriteMarked(writer, Decimal, () => writer.WriteStringValue(
                    string.Create(CultureInfo.InvariantCulture, $"{number.Unscaled}/{number.Scale}")));
                break;
            case BinaryValue binary when isMarked:
                WriteMarked(writer, binary.IsText ? RawText : Binary, () => writer.WriteBase64StringValue(binary.Value.AsSpan()));
                break;
            case TimestampValue timestamp when isMarked:
                WriteMarked(writer, Timestamp, () => writer.WriteNumberValue(timestamp.Seconds));
                break;
            case TimestampValue timestamp:
                writer.WriteNumberValue(timestamp.Seconds);
                break;
            default:
                writer.WriteStringValue(value.ToString());
                break;
        }
    }

    /// <summary>Writes a table.</summary>
    public static void WriteTable(Utf8JsonWriter writer, FieldTable table, bool isMarked)
    {
        writer.WriteStartObject();
        foreach (var (name, value) in table.Fields)
        {
            writer.WritePropertyName(name);
            Write(writer, value, isMarked);
        }
        writer.WriteEndObject();
    }

    private static void WriteMarked(Utf8JsonWriter writer, string mark, Action write)
    {
        writer.WriteStartObject();
        writer.WritePropertyName(mark);
        write();
        writer.WriteEndObject();
    }

    private static FieldValue ReadObject(JsonElement json, bool isMarked)
    {
        if (!isMarked || json.EnumerateObject().FirstOrDefault() is not { Value.ValueKind: not JsonValueKind.Undefined } field
            || !field.Name.StartsWith(Mark))
            return new TableValue(ReadTable(json, isMarked));
        try
        {
            return field.Name switch
            {
                Table => new TableValue(ReadTable(field.Value, isMarked)),
                Double or Single => new FloatingValue(double.Parse(field.Value.GetString()!, CultureInfo.InvariantCulture),
                    field.Name == Single),
                Decimal => ReadDecimal(field.Value.GetString()!.Split('/')),
                Binary or RawText => new BinaryValue([.. field.Value.GetBytesFromBase64()], field.Name == RawText),
                Timestamp => new TimestampValue(field.Value.GetInt64()),
                _ when Integers.TryGetValue(field.Name, out var kind) => new IntegerValue(field.Value.GetInt64(), kind),
                _ => throw new JsonException($"The type '{field.Name}' of a field is unknown. A later version may have written it."),
            };
        }
        catch (Exception wrong) when (wrong is FormatException or InvalidOperationException or OverflowException
            or IndexOutOfRangeException)
        {
            throw new JsonException($"The value of the field '{field.Name}' is not of its type: {wrong.Message}", wrong);
        }
    }

    private static DecimalValue ReadDecimal(string[] parts) =>
        new(byte.Parse(parts[1], CultureInfo.InvariantCulture), long.Parse(parts[0], CultureInfo.InvariantCulture));
}

/// <summary>Converts a <see cref="FieldValue"/> of a stored document.</summary>
internal sealed class FieldValueConverter : JsonConverter<FieldValue>
{
    /// <inheritdoc/>
    public override bool HandleNull => true;

    /// <inheritdoc/>
    public override FieldValue Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        using var document = JsonDocument.ParseValue(ref reader);
        return FieldJson.Read(document.RootElement, isMarked: true);
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, FieldValue value, JsonSerializerOptions options) =>
        FieldJson.Write(writer, value, isMarked: true);
}

/// <summary>Converts a <see cref="FieldTable"/> of a stored document.</summary>
internal sealed class FieldTableConverter : JsonConverter<FieldTable>
{
    /// <inheritdoc/>
    public override FieldTable Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        using var document = JsonDocument.ParseValue(ref reader);
        return FieldJson.ReadTable(document.RootElement, isMarked: true);
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, FieldTable value, JsonSerializerOptions options) =>
        FieldJson.WriteTable(writer, value, isMarked: true);
}
