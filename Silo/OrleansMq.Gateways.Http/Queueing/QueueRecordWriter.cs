using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Http.Lines;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http.Queueing;

/// <summary>
/// Writes a queue's records as JSON. It passes them to the connection in pieces, and a client that receives slower than the least rate
/// while it holds much of the broker's memory is cut off.
/// </summary>
/// <param name="http">The request.</param>
/// <param name="reads">The room of records that answers hold.</param>
/// <param name="clock">The clock.</param>
/// <param name="isBase64">Whether keys, values and headers are written as base64.</param>
internal sealed class QueueRecordWriter(HttpContext http, DecompressedReads reads, TimeProvider clock, bool isBase64) : IDisposable
{
    /// <summary>The most bytes of an answer's records: 16 MiB. The first is always in it.</summary>
    public const int MostBytes = 16 << 20;

    /// <summary>The number of bytes between two flushes.</summary>
    private const int FlushBytes = 64 << 10;

    private readonly Utf8JsonWriter _json = new(http.Response.BodyWriter, new JsonWriterOptions
    {
        // The answer is JSON and never part of a page, so non-ASCII text stays readable.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        SkipValidation = true,
    });

    private readonly HeldBatch _held = new(reads, clock, http.Features.Get<IHttpMinResponseDataRateFeature>());
    private long _flushed;

    /// <summary>Returns the first records whose bytes are within <see cref="MostBytes"/>.</summary>
    public static QueueRecord[] WithinBounds(IReadOnlyList<QueueRecord> records)
    {
        var bytes = 0L;
        return [.. records.TakeWhile((record, index) => (bytes += RecordBytes.Of(record)) <= MostBytes || index == 0)];
    }

    /// <summary>Refuses records that the encoding cannot carry.</summary>
    /// <exception cref="RequestException">One is not text.</exception>
    public static void Demand(IReadOnlyList<QueueRecord> records, bool isBase64)
    {
        if (!isBase64 && records.FirstOrDefault(static record => !IsText(record)) is { } record)
            throw new RequestException($"The record at offset {record.Offset} is not UTF-8 text; read it with encoding=base64.");
    }

    /// <summary>Takes room for the records among those of all reads.</summary>
    /// <exception cref="RequestException">There is none.</exception>
    public void Take(IReadOnlyList<QueueRecord> records)
    {
        try
        {
            _held.Take((int)Math.Min(records.Sum(static record => RecordBytes.Of(record)), int.MaxValue));
        }
        catch (RecordBatchException busy) when (busy.Error == RecordBatchError.Busy)
        {
            throw new RequestException(StatusCodes.Status503ServiceUnavailable, ErrorCode.RequestTimedOut,
                "Other reads hold the memory for records. Retry.");
        }
    }

    /// <summary>Answers with a list of records.</summary>
    /// <exception cref="ConnectionAbortedException">The client does not have all of it.</exception>
    public async Task WriteListAsync(IReadOnlyList<QueueRecord> records)
    {
        http.Response.ContentType = "application/json";
        await WriteRecordsAsync(records);
        await FlushAsync();
    }

    /// <summary>Answers with a delivery, or with none.</summary>
    /// <exception cref="ConnectionAbortedException">The client does not have all of it.</exception>
    public async Task WriteAsync(QueueDelivery? delivery)
    {
        http.Response.ContentType = "application/json";
        _json.WriteStartObject();
        if (delivery is null)
        {
            _json.WriteNull("lock"u8);
        }
        else
        {
            _json.WriteStartObject("lock"u8);
            _json.WriteString("queue"u8, delivery.Lock.Queue);
            _json.WriteNumber("leaderEpoch"u8, delivery.Lock.LeaderEpoch);
            _json.WriteNumber("number"u8, delivery.Lock.Number);
            _json.WriteEndObject();
        }
        _json.WritePropertyName("records"u8);
        await WriteRecordsAsync(delivery?.Records ?? []);
        _json.WriteEndObject();
        await FlushAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _json.Dispose();
        _held.Dispose();
    }

    private async Task WriteRecordsAsync(IReadOnlyList<QueueRecord> records)
    {
        _json.WriteStartArray();
        foreach (var record in records)
        {
            Write(record);
            if (_json.BytesCommitted + _json.BytesPending - _flushed >= FlushBytes)
                await FlushAsync();
        }
        _json.WriteEndArray();
    }

    private void Write(QueueRecord record)
    {
        _json.WriteStartObject();
        _json.WriteNumber("offset"u8, record.Offset);
        _json.WriteNumber("timestamp"u8, record.Timestamp);
        _json.WriteBytes("key"u8, record.Key, isBase64);
        _json.WriteBytes("value"u8, record.Value, isBase64);
        _json.WriteNumber("deliveries"u8, record.Deliveries);
        _json.WriteNumber("failures"u8, record.Failures);
        _json.WriteBoolean("isRedelivered"u8, record.IsRedelivered);
        if (record.Headers.Count > 0)
        {
            _json.WriteStartArray("headers"u8);
            foreach (var header in record.Headers)
            {
                _json.WriteStartObject();
                _json.WriteBytes("name"u8, header.Key, isBase64);
                _json.WriteBytes("value"u8, header.Value, isBase64);
                _json.WriteEndObject();
            }
            _json.WriteEndArray();
        }
        _json.WriteEndObject();
    }

    private async Task FlushAsync()
    {
        _json.Flush();
        var bytes = _json.BytesCommitted - _flushed;
        _flushed = _json.BytesCommitted;
        var flushed = await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
        // RequestAborted is cancelled some time after the connection's end, and until then writes go nowhere.
        if (flushed.IsCompleted || http.RequestAborted.IsCancellationRequested)
            throw new ConnectionAbortedException("The client is gone: its answer is not whole.");
        if (_held.IsInTime(bytes))
            return;
        http.Abort();
        throw new ConnectionAbortedException("The client receives too slowly: its answer is not whole.");
    }

    private static bool IsText(QueueRecord record) => IsText(record.Key) && IsText(record.Value)
        && record.Headers.All(static header => Utf8.IsValid(header.Key.Span) && IsText(header.Value));

    private static bool IsText(ReadOnlyMemory<byte>? bytes) => bytes is not { } present || Utf8.IsValid(present.Span);
}
