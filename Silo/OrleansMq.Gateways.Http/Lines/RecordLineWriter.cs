using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>Writes records as lines of JSON. Not thread safe.</summary>
internal sealed class RecordLineWriter(IBufferWriter<byte> output, int partition, bool isBase64) : IDisposable
{
    private readonly Utf8JsonWriter _json = new(output, new JsonWriterOptions
    {
        // The answer is JSON and never part of a page, so non-ASCII text stays readable.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        SkipValidation = true,
    });

    /// <summary>The number of records written.</summary>
    public long Count { get; private set; }

    /// <summary>The number of bytes written since this was last reset to zero.</summary>
    public long Unflushed { get; set; }

    /// <summary>Writes a line. If the record's bytes are not text, writes nothing, and <paramref name="field"/> says which.</summary>
    public bool TryWrite(in Record record, [NotNullWhen(false)] out string? field)
    {
        var headers = record.HeaderCount == 0 ? [] : record.ReadHeaders();
        field = isBase64 ? NotTextName(headers) : NotText(record, headers);
        if (field is not null)
            return false;
        _json.WriteStartObject();
        _json.WriteNumber("partition"u8, partition);
        _json.WriteNumber("offset"u8, record.Offset);
        _json.WriteNumber("timestamp"u8, record.Timestamp);
        _json.WriteBytes("key"u8, record.Key, isBase64);
        _json.WriteBytes("value"u8, record.Value, isBase64);
        WriteHeaders(headers);
        _json.WriteEndObject();
        EndLine();
        Count++;
        return true;
    }

    /// <summary>Writes the last line of a read that ended early: the code, the message, and the offset at which to continue.</summary>
    public void WriteError(ErrorCode code, string message, long offset)
    {
        _json.WriteStartObject();
        _json.WriteString("error"u8, message);
        _json.WriteString("code"u8, code.ToString());
        _json.WriteBoolean("retriable"u8, code.Action() == ErrorAction.Retry);
        _json.WriteNumber("offset"u8, offset);
        _json.WriteEndObject();
        EndLine();
    }

    /// <inheritdoc/>
    public void Dispose() => _json.Dispose();

    private void WriteHeaders(RecordHeader[] headers)
    {
        if (headers.Length == 0)
            return;
        _json.WriteStartObject("headers"u8);
        foreach (var header in headers)
            _json.WriteBytes(header.Key.Span, header.Value, isBase64);
        _json.WriteEndObject();
    }

    private void EndLine()
    {
        _json.Flush();
        Unflushed += _json.BytesCommitted + 1;
        _json.Reset();
        output.Write("\n"u8);
    }

    private static string? NotText(in Record record, RecordHeader[] headers)
    {
        if (record.Key is { } key && !Utf8.IsValid(key.Span))
            return "the key";
        if (record.Value is { } value && !Utf8.IsValid(value.Span))
            return "the value";
        foreach (var header in headers)
        {
            if (header.Value is { } bytes && !Utf8.IsValid(bytes.Span))
                return "a header's value";
        }
        return NotTextName(headers);
    }

    /// <summary>Returns the field if a header's name is not text, which the format requires in either encoding.</summary>
    private static string? NotTextName(RecordHeader[] headers) =>
        Array.Exists(headers, static header => !Utf8.IsValid(header.Key.Span)) ? "a header's name" : null;
}
