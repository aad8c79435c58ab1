using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Records;

/// <summary>Records on standard output.</summary>
internal interface IRecordOutput : IDisposable
{
    /// <summary>Writes one record, which may stay in memory until <see cref="Flush"/>.</summary>
    void Write(in ConsumeResult<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> record);

    /// <summary>Makes everything written visible to the reader of standard output.</summary>
    void Flush();
}

/// <summary>Values as they are, one per line, each after its key if a separator is given. A missing key or value is empty.</summary>
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
    public void Dispose() { } // unflushed output is discarded: its reader has gone, or the command failed
}

/// <summary>One JSON object per record and line.</summary>
internal sealed class JsonRecordOutput : IRecordOutput
{
    private readonly BufferedStream _output = new(new StandardOutput(), 128 << 10);
    // A JSON writer flushes its stream, which would be a system call per record. So it writes to memory.
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Utf8JsonWriter _json;

    /// <summary>Creates an output to standard output.</summary>
    public JsonRecordOutput() =>
        // The output is not embedded in HTML, so text stays unescaped.
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
