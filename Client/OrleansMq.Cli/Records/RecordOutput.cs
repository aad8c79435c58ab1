using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Records;

/// <summary>Records on standard output.</summary>
internal interface IRecordOutput : IDisposable
{
    /// <summary>Writes one record; it may stay in memory until <see cref="Flush"/>.</summary>
    void Write(in ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> record);

    /// <summary>Lets the reader of standard output see all that was written.</summary>
    void Flush();
}

/// <summary>Values, one a line, as they are; before each its key where a separator was given. What is not there is empty.</summary>
internal sealed class LineRecordOutput(byte[]? keySeparator) : IRecordOutput
{
    private readonly BufferedStream _output = new(new StandardOutput(), 128 << 10);

    /// <inheritdoc/>
    public void Write(in ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> record)
    {
        if (keySeparator is not null)
        {
            _output.Write(record.Key.GetValueOrDefault().Span);
            _output.Write(keySeparator);
        }
        _output.Write(record.Value.GetValueOrDefault().Span);
        _output.WriteByte((byte)'\n');
    }

    /// <inheritdoc/>
    public void Flush() => _output.Flush();

    /// <inheritdoc/>
    public void Dispose() { } // what was not flushed is not wanted: its reader has gone, or the command failed
}

/// <summary>One JSON object a record, one a line.</summary>
internal sealed class JsonRecordOutput : IRecordOutput
{
    private readonly BufferedStream _output = new(new StandardOutput(), 128 << 10);
    // A writer flushes the stream it writes to, which would be a call to the system for each record: it writes to memory.
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Utf8JsonWriter _json;

    /// <summary>Over standard output.</summary>
    public JsonRecordOutput() =>
        // The output is no web page: text stays readable.
        _json = new Utf8JsonWriter(_line, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <inheritdoc/>
    public void Write(in ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> record)
    {
        _json.Reset();
        _json.WriteStartObject();
        _json.WriteNumber("partition", record.TopicPartition.Partition);
        _json.WriteNumber("offset", record.Offset);
        _json.WriteNumber("timestamp", record.Timestamp);
        _json.WriteBytes("key", record.Key);
        _json.WriteBytes("value", record.Value);
        _json.WriteStartArray("headers");
        foreach (var header in record.Headers)
        {
            _json.WriteStartObject();
            _json.WriteBytes("name", header.Key);
            _json.WriteBytes("value", header.Value);
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
        _json.WriteEndObject();
        _json.Flush();
        _output.Write(_line.WrittenSpan);
        _line.ResetWrittenCount();
        _output.WriteByte((byte)'\n');
    }

    /// <inheritdoc/>
    public void Flush() => _output.Flush();

    /// <inheritdoc/>
    public void Dispose() { }
}
