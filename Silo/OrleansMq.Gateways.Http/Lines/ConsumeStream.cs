using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// One consume request: records as lines of JSON, streamed up to the high watermark or the requested number. It waits only for the first
/// record, then answers with all available ones.
/// </summary>
internal sealed class ConsumeStream(HttpContext http, ApiServices api, TopicPartition partition, bool isBase64,
    IsolationLevel isolation)
{
    /// <summary>The header with the offset at which reading began: where to continue if there was no record.</summary>
    public const string StartOffsetHeader = "Omq-Start-Offset";

    /// <summary>The number of bytes read from the log at a time, which bounds the memory of a request.</summary>
    private const int FetchBytes = 1 << 20;

    /// <summary>The number of bytes between two flushes, so that a slow reader does not make the broker hold its whole answer.</summary>
    private const int FlushBytes = 64 << 10;

    private readonly RecordLineWriter _lines = new(http.Response.BodyWriter, partition.Partition, isBase64);
    private long _position;
    private long _left;
    private bool _hasStarted;
    private readonly HeldBatch _held = new(api.DecompressedReads, api.TimeProvider,
        http.Features.Get<IHttpMinResponseDataRateFeature>());

    /// <summary>Handles the whole request.</summary>
    /// <param name="start">The first offset to read.</param>
    /// <param name="max">The most records to return.</param>
    /// <param name="wait">How long to wait for the first record.</param>
    public async Task RunAsync(long start, long max, TimeSpan wait)
    {
        using var lines = _lines;
        _held.Dispose();
        (_position, _left) = (start, max);
        var started = api.TimeProvider.GetTimestamp();
        while (_left > 0)
        {
            var patience = _lines.Count > 0 ? TimeSpan.Zero : wait - api.TimeProvider.GetElapsedTime(started);
            var request = new FetchRequest(partition, _position, FetchBytes, patience > TimeSpan.Zero ? patience : TimeSpan.Zero,
                Isolation: isolation);
            using var result = await LongPoll.FetchAsync(http, api, request);
            if (result.Error != ErrorCode.None)
            {
                await FailAsync(result.Error, result.Message);
                return;
            }
            Start(result);
            if (result.Records.IsEmpty)
                return;
            if (await TryWriteRecordsAsync(result.Records) is { } unreadable)
            {
                await FailAsync(unreadable.Code, unreadable.Message);
                return;
            }
        }
    }

    /// <summary>Writes the requested records of whole batches. Returns the error if one is unreadable or cannot be shown.</summary>
    private async ValueTask<(ErrorCode Code, string Message)?> TryWriteRecordsAsync(ReadOnlyMemory<byte> batches)
    {
        try
        {
            return await WriteRecordsAsync(batches) is { } unreadable ? (ErrorCode.InvalidRequest, unreadable) : null;
        }
        catch (CodecUnavailableException e)
        {
            return (ErrorCode.UnsupportedCompressionType, e.Message);
        }
        catch (RecordBatchException e) when (e.Error == RecordBatchError.Busy)
        {
            return (e.Error.ToErrorCode(), $"Offset {_position} cannot be read now: {e.Message}");
        }
        catch (RecordBatchException e)
        {
            return (ErrorCode.CorruptMessage, $"Offset {_position} cannot be read: {e.Message}"
                + (e.NextOffset > _position ? $" To pass this batch, continue with offset={e.NextOffset}." : " Retry."));
        }
    }

    /// <summary>Writes the requested records of whole batches. Returns the error at the first record that is not text.</summary>
    private async ValueTask<string?> WriteRecordsAsync(ReadOnlyMemory<byte> batches)
    {
        using var reader = new RecordReader(batches, api.Codecs, takesTurns: true);
        using var held = _held;
        return await WriteRecordsAsync(batches, reader);
    }

    private async ValueTask<string?> WriteRecordsAsync(ReadOnlyMemory<byte> batches, RecordReader reader)
    {
        while (_left > 0 && reader.MoveNext())
        {
            _held.Take(reader.DecompressedBytes);
            var record = reader.Current;
            if (record.Offset < _position)
                continue;
            // Markers are not user records.
            if (!reader.Batch.IsControl)
            {
                if (!_lines.TryWrite(record, out var field))
                    return $"{field} of the record at offset {record.Offset} is not UTF-8 text; read it with encoding=base64.";
                _left--;
            }
            _position = record.Offset + 1;
            if (_lines.Unflushed >= FlushBytes)
                await FlushAsync();
        }
        if (_left > 0)
            _position = Math.Max(_position, NextOffset(batches.Span));
        await FlushAsync();
        return null;
    }

    private async ValueTask FlushAsync()
    {
        var bytes = _lines.Unflushed;
        _lines.Unflushed = 0;
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
        if (_held.IsInTime(bytes))
            return;
        http.Abort();
        http.RequestAborted.ThrowIfCancellationRequested();
    }

    /// <summary>Returns the offset after the last batch, which the last record of a compacted batch does not tell.</summary>
    private static long NextOffset(ReadOnlySpan<byte> batches)
    {
        var next = 0L;
        while (batches.Length >= RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(batches);
            next = header.NextOffset;
            batches = batches[header.SizeInBytes..];
        }
        return next;
    }

    private void Start(FetchResult result)
    {
        if (_hasStarted)
            return;
        _hasStarted = true;
        BatchEndpoints.WriteOffsets(http.Response, result);
        http.Response.Headers[StartOffsetHeader] = _position.ToString(System.Globalization.CultureInfo.InvariantCulture);
        http.Response.ContentType = HttpContract.JsonLinesMediaType;
    }

    private async Task FailAsync(ErrorCode code, string? message)
    {
        if (_lines.Count == 0)
        {
            await Problems.WriteAsync(http, api, code, message);
            return;
        }
        _lines.WriteError(code, message ?? code.ToString(), _position);
        await FlushAsync();
    }
}
