using System.Text.Encodings.Web;
using System.Text.Json;
using OrleansMq.Cli.Records;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Cli.Segments;

/// <summary>A machine-readable dump: one JSON object per batch and line, and nothing else.</summary>
internal sealed class JsonDump(StreamWriter output, bool withRecords) : ISegmentDump
{
    private readonly Stream _output = output.BaseStream;
    // The output is not embedded in HTML, so text stays unescaped.
    private readonly Utf8JsonWriter _json = new(output.BaseStream,
        new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <inheritdoc/>
    public bool Write(ScannedBatch batch)
    {
        _json.Reset();
        _json.WriteStartObject();
        WriteHeader(batch);
        var error = batch.Fault?.Message;
        if (batch.Fault is null && withRecords)
            error = WriteRecords(batch);
        _json.WriteString("error", error);
        _json.WriteEndObject();
        _json.Flush();
        _output.WriteByte((byte)'\n');
        return error is null;
    }

    /// <inheritdoc/>
    public void End(long batches, long records, long faults, long unreadBytes) => _output.Flush();

    private void WriteHeader(ScannedBatch batch)
    {
        var header = batch.Header;
        _json.WriteNumber("position", batch.Position);
        _json.WriteNumber("sizeBytes", (long)header.Length + RecordBatchHeader.Overhead);
        _json.WriteNumber("baseOffset", header.BaseOffset);
        _json.WriteNumber("lastOffset", header.LastOffset);
        _json.WriteNumber("partitionLeaderEpoch", header.PartitionLeaderEpoch);
        _json.WriteNumber("magic", header.Magic);
        _json.WriteNumber("crc", header.Crc);
        _json.WriteBoolean("valid", batch.Fault is null);
        _json.WriteString("compression", header.Compression.ToString().ToLowerInvariant());
        _json.WriteString("timestampType", header.IsLogAppendTime ? "LogAppendTime" : "CreateTime");
        _json.WriteBoolean("transactional", header.IsTransactional);
        _json.WriteBoolean("control", header.IsControl);
        _json.WriteBoolean("deleteHorizon", header.HasDeleteHorizon);
        _json.WriteNumber("baseTimestamp", header.BaseTimestamp);
        _json.WriteNumber("maxTimestamp", header.MaxTimestamp);
        _json.WriteNumber("producerId", header.ProducerId);
        _json.WriteNumber("producerEpoch", header.ProducerEpoch);
        _json.WriteNumber("baseSequence", header.BaseSequence);
        _json.WriteNumber("recordCount", header.RecordCount);
    }

    /// <summary>Writes the records. Returns why not all of them can be read, or null.</summary>
    private string? WriteRecords(ScannedBatch batch)
    {
        _json.WriteStartArray("records");
        string? error = null;
        try
        {
            using var reader = new RecordReader(batch.Bytes, StandardCodecs.All);
            while (reader.MoveNext())
                WriteRecord(reader.Current);
        }
        catch (Exception e) when (e is RecordBatchException or CodecUnavailableException)
        {
            error = e.Message;
        }
        _json.WriteEndArray();
        return error;
    }

    private void WriteRecord(Record record)
    {
        _json.WriteStartObject();
        _json.WriteNumber("offset", record.Offset);
        _json.WriteNumber("timestamp", record.Timestamp);
        _json.WriteBytes("key", record.Key);
        _json.WriteBytes("value", record.Value);
        _json.WriteStartArray("headers");
        foreach (var header in record.HeaderCount == 0 ? [] : record.ReadHeaders())
        {
            _json.WriteStartObject();
            _json.WriteBytes("name", header.Key);
            _json.WriteBytes("value", header.Value);
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
        _json.WriteEndObject();
    }
}
