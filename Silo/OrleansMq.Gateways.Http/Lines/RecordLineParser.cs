using System.Buffers;
using System.Buffers.Text;
using System.Text.Json;
using System.Text.Unicode;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>A line that is not a record.</summary>
/// <param name="Field">The invalid field; null for the whole line.</param>
/// <param name="Message">What is wrong, and the fix.</param>
internal sealed record LineFault(string? Field, string Message);

/// <summary>
/// Parses one line of JSON into a record, without allocating in steady state. The parsed record is valid until the next line. Not thread
/// safe.
/// </summary>
internal sealed class RecordLineParser(bool isBase64) : IDisposable
{
    private const string Fields = "key, value, partition, headers, timestamp, persistent";
    // More than records have; those of a hostile line take several times its bytes.
    private const int MostHeaders = 1_000;

    private readonly List<RecordHeader> _headers = [];
    private byte[] _decoded = [];
    private int _used;
    private (int Start, int Length)? _key;
    private (int Start, int Length)? _value;

    /// <summary>The key; empty if <see cref="HasKey"/> is false.</summary>
    public ReadOnlySpan<byte> Key => _key is { } key ? _decoded.AsSpan(key.Start, key.Length) : default;
    /// <summary>Whether there is a key.</summary>
    public bool HasKey => _key is not null;
    /// <summary>The value; empty if <see cref="HasValue"/> is false.</summary>
    public ReadOnlySpan<byte> Value => _value is { } value ? _decoded.AsSpan(value.Start, value.Length) : default;
    /// <summary>Whether the value is not null.</summary>
    public bool HasValue => _value is not null;
    /// <summary>The headers, in the line's order.</summary>
    public ReadOnlySpan<RecordHeader> Headers => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_headers);
    /// <summary>The requested partition, or null.</summary>
    public int? Partition { get; private set; }
    /// <summary>Milliseconds since 1970, or null for now.</summary>
    public long? Timestamp { get; private set; }
    /// <summary>Whether it must survive a power cut. If not, the <see cref="Headers"/> say so, too.</summary>
    public bool IsPersistent { get; private set; } = true;

    /// <summary>Parses a line without its line feed. Null if it is a record.</summary>
    public LineFault? Parse(ReadOnlySpan<byte> line)
    {
        Reset(line.Length);
        if (!Utf8.IsValid(line))
            return new LineFault(null, "not valid UTF-8; send bytes with encoding=base64");
        try
        {
            var reader = new Utf8JsonReader(line);
            return ParseObject(ref reader);
        }
        catch (JsonException e)
        {
            return new LineFault(null, $"not valid JSON at byte {e.BytePositionInLine + 1}; send one JSON object per line");
        }
    }

    /// <summary>Gives back the memory of the record, if it is more than <paramref name="most"/> bytes. No record is valid then.</summary>
    public void Trim(int most)
    {
        if (_decoded.Length <= most && _headers.Capacity <= MostHeaders)
            return;
        Reset(0);
        Dispose();
        if (_headers.Capacity > MostHeaders)
            _headers.Capacity = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_decoded.Length > 0)
            ArrayPool<byte>.Shared.Return(_decoded);
        _decoded = [];
    }

    private void Reset(int lineLength)
    {
        // Unescaping and base64 decoding never grow, so the line's length is enough, and the buffer is not reallocated meanwhile.
        if (_decoded.Length < lineLength)
        {
            Dispose();
            _decoded = ArrayPool<byte>.Shared.Rent(lineLength);
        }
        _used = 0;
        _headers.Clear();
        (_key, _value, Partition, Timestamp, IsPersistent) = (null, null, null, null, true);
    }

    private LineFault? ParseObject(ref Utf8JsonReader reader)
    {
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            return new LineFault(null, """expected a JSON object such as {"key":"k","value":"v"}""");
        var seen = Field.None;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var field = FieldOf(reader);
            if ((seen & field) != 0)
                return new LineFault(reader.GetString(), "occurs twice; keep one");
            seen |= field;
            var fault = field switch
            {
                Field.Value => ParseBytes(ref reader, "value", out _value),
                Field.Key => ParseBytes(ref reader, "key", out _key),
                Field.Partition => ParsePartition(ref reader),
                Field.Timestamp => ParseTimestamp(ref reader),
                Field.Headers => ParseHeaders(ref reader),
                Field.Persistent => ParsePersistent(ref reader),
                _ => new LineFault(reader.GetString(), $"not a field of a record; allowed: {Fields}"),
            };
            if (fault is not null)
                return fault;
        }
        // Reads to the end of the line, to detect anything after the object.
        reader.Read();
        if (!IsPersistent)
            _headers.Add(Transient.Header);
        return (seen & Field.Value) != 0 ? null
            : new LineFault("value", "missing; send null for a record without a value (a tombstone)");
    }

    private static Field FieldOf(in Utf8JsonReader reader) =>
        reader.ValueTextEquals("value"u8) ? Field.Value
        : reader.ValueTextEquals("key"u8) ? Field.Key
        : reader.ValueTextEquals("partition"u8) ? Field.Partition
        : reader.ValueTextEquals("timestamp"u8) ? Field.Timestamp
        : reader.ValueTextEquals("headers"u8) ? Field.Headers
        : reader.ValueTextEquals("persistent"u8) ? Field.Persistent
        : Field.None;

    private LineFault? ParsePartition(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType == JsonTokenType.Null)
            return null;
        if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out var partition) || partition < 0)
            return new LineFault("partition", "expected a whole number from 0, or null to have one chosen");
        Partition = partition;
        return null;
    }

    private LineFault? ParseTimestamp(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType == JsonTokenType.Null)
            return null;
        if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var timestamp) || timestamp < 0)
            return new LineFault("timestamp", "expected milliseconds since 1970, a whole number from 0, or null for now");
        Timestamp = timestamp;
        return null;
    }

    private LineFault? ParsePersistent(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType is not (JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null))
            return new LineFault("persistent", "expected true, or false for a record that need not survive a power cut");
        IsPersistent = reader.TokenType != JsonTokenType.False;
        return null;
    }

    private LineFault? ParseHeaders(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType == JsonTokenType.Null)
            return null;
        if (reader.TokenType != JsonTokenType.StartObject)
            return new LineFault("headers", """expected an object of names and values such as {"trace":"4711"}""");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (!TryCopyText(ref reader, out var name))
                return new LineFault("headers", "a name is not valid Unicode text");
            if (ParseBytes(ref reader, "headers", out var value) is { } fault)
                return fault;
            _headers.Add(new RecordHeader(Slice(name), value is { } bytes ? Slice(bytes) : (ReadOnlyMemory<byte>?)null));
        }
        return null;
    }

    private ReadOnlyMemory<byte> Slice((int Start, int Length) part) => _decoded.AsMemory(part.Start, part.Length);

    /// <summary>Parses a string in the request's encoding, or null.</summary>
    private LineFault? ParseBytes(ref Utf8JsonReader reader, string field, out (int Start, int Length)? bytes)
    {
        reader.Read();
        bytes = null;
        if (reader.TokenType == JsonTokenType.Null)
            return null;
        if (reader.TokenType != JsonTokenType.String)
            return new LineFault(field, "expected a string or null (JSON as a value goes into a string)");
        if (!TryCopyText(ref reader, out var text))
            return new LineFault(field, "not valid Unicode text (half a surrogate pair); send bytes with encoding=base64");
        if (!isBase64)
        {
            bytes = text;
            return null;
        }
        if (Base64.DecodeFromUtf8InPlace(_decoded.AsSpan(text.Start, text.Length), out var written) != OperationStatus.Done)
            return new LineFault(field, "not valid base64, though the request says encoding=base64");
        _used = text.Start + written;
        bytes = (text.Start, written);
        return null;
    }

    /// <summary>The fields of a line.</summary>
    [Flags]
    private enum Field
    {
        None = 0,
        Value = 1,
        Key = 2,
        Partition = 4,
        Timestamp = 8,
        Headers = 16,
        Persistent = 32,
    }

    private bool TryCopyText(ref Utf8JsonReader reader, out (int Start, int Length) text)
    {
        text = default;
        try
        {
            text = (_used, reader.CopyString(_decoded.AsSpan(_used)));
        }
        catch (InvalidOperationException)
        {
            return false;
        }
        _used += text.Length;
        return true;
    }
}
