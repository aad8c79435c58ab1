using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Streams;

/// <summary>
/// A reader of a stream: an offset. What it fetched and did not hand out yet stays in memory only while that is little; else it is fetched
/// again. Where the log begins later than it reads, it goes on at the log's start. A batch that cannot be read is passed over, and
/// logged, in one line a minute for each stream. It waits for one that needs a codec which this broker lacks: another broker can read it.
/// </summary>
/// <param name="source">The partition.</param>
/// <param name="filter">What it wants; null for all.</param>
internal sealed class StreamReader(StreamSource source, StreamFilter? filter) : IQueueReader
{
    /// <summary>The header of a delivery with its offset.</summary>
    public const string OffsetHeader = "x-stream-offset";

    // Fetched at once. A batch that is larger comes whole.
    private const int FetchBytes = 256 << 10;
    // What a reader holds between its calls.
    private const int MaxHeldBytes = 1 << 20;
    // Handed out by one call, beyond the first message.
    private const int MaxReceivedBytes = 1 << 20;

    // Another large batch is being decompressed.
    private static readonly TimeSpan BusyPause = TimeSpan.FromMilliseconds(20);

    private FetchResult? _fetched;
    private RecordReader? _records;
    private long _position;
    // Nothing before it is wanted.
    private long _from;
    private bool _isBusy;
    private bool _lacksCodec;

    /// <summary>Finds where it begins.</summary>
    /// <exception cref="QueueGoneException">The topic is deleted.</exception>
    /// <exception cref="BrokerException">The start cannot be found.</exception>
    public async ValueTask StartAsync(StreamStart start)
    {
        var end = await source.FindAsync(OffsetSpec.Latest).ConfigureAwait(false);
        _position = start.Kind switch
        {
            StreamStartKind.First => await source.FindAsync(OffsetSpec.Earliest).ConfigureAwait(false),
            StreamStartKind.Last => await FindLastAsync(end).ConfigureAwait(false),
            StreamStartKind.Offset => Math.Min(start.Value, end),
            StreamStartKind.Time => await source.FindAsync(OffsetSpec.AtOrAfter(start.Value)).ConfigureAwait(false) is >= 0 and var found
                ? found : end,
            _ => end,
        };
        _from = start.Kind == StreamStartKind.Offset ? start.Value : _position;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<HeldMessage>> ReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        var messages = new List<HeldMessage>();
        var bytes = 0;
        for (var waited = source.Time.GetTimestamp(); messages.Count < max && bytes < MaxReceivedBytes;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TryRead(out var message))
            {
                messages.Add(message);
                bytes += message.Message.Bytes;
                continue;
            }
            var wait = messages.Count > 0 ? TimeSpan.Zero : maxWait - source.Time.GetElapsedTime(waited);
            if (!await FetchAsync(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, cancellationToken).ConfigureAwait(false)
                && (messages.Count > 0 || source.Time.GetElapsedTime(waited) >= maxWait))
                break;
        }
        if (_fetched is { } fetched && fetched.Records.Length + (long)_records!.DecompressedBytes > MaxHeldBytes)
            Release();
        return messages;
    }

    /// <inheritdoc/>
    /// <remarks>A stream has no state of its consumers.</remarks>
    public Task SettleAsync(MessageHold hold, Settlement settlement, TimeSpan delay = default) => Task.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask<AmqpMessage?> ReadAsync(MessageHold hold)
    {
        try
        {
            return await LogMessage.ReadAsync(source.Broker, source.Partition, hold.Position, source.Name, source.Codecs, source.Time)
                .ConfigureAwait(false) is { } message ? WithOffset(message, hold.Position) : null;
        }
        catch (BrokerException damaged) when (damaged.Code == ErrorCode.CorruptMessage)
        {
            source.PassedOver.Write(EngineLogLevel.Warning, $"A consumer of '{source.Partition}' passes over the offset {hold.Position}, "
                + $"which cannot be read: {damaged.Message}");
            return null;
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        Release();
        return default;
    }

    private bool TryRead(out HeldMessage message)
    {
        message = null!;
        try
        {
            while (_records?.MoveTo(_position) == true)
            {
                var record = _records.Current;
                if (record.Offset < _position)
                    continue;
                _position = record.Offset + 1;
                if (_records.Batch.IsControl || record.Offset < _from)
                    continue;
                var headers = record.ReadHeaders();
                if (filter?.Matches(headers) == false)
                    continue;
                message = MessageOf(record, headers);
                return true;
            }
        }
        catch (RecordBatchException busy) when (busy.Error == RecordBatchError.Busy)
        {
            _isBusy = true;
            return false;
        }
        catch (CodecUnavailableException missing)
        {
            source.PassedOver.Write(EngineLogLevel.Warning, $"A consumer of '{source.Partition}' waits at offset {_position}: "
                + $"{missing.Message} Install the codec on this broker, or let the client connect to one that has it.");
            _lacksCodec = true;
            Release();
            return false;
        }
        catch (RecordBatchException unreadable)
        {
            var next = unreadable.NextOffset > 0 ? unreadable.NextOffset : NextOffset(_position);
            source.PassedOver.Write(EngineLogLevel.Warning, $"A consumer of '{source.Partition}' passes over the offsets {_position} to "
                + $"{next - 1}, which cannot be read: {unreadable.Message}");
            _position = Math.Max(_position + 1, next);
            Release();
            return false;
        }
        if (_fetched is { } fetched)
            _position = Math.Max(_position, EndOf(fetched.Records.Span));
        Release();
        return false;
    }

    // Its memory is that of the fetch, which ends.
    private HeldMessage MessageOf(in Record record, RecordHeader[] headers)
    {
        var message = MessageRecords.Decode(record, headers, source.Name);
        return new HeldMessage(WithOffset(message, record.Offset) with { Body = message.Body.ToArray() },
            new MessageHold(record.Offset, 0), false);
    }

    private static AmqpMessage WithOffset(AmqpMessage message, long offset) =>
        message with { Properties = message.Properties.WithHeader(OffsetHeader, FieldValue.Of(offset)) };

    // Whether the position moved, or records came.
    private async ValueTask<bool> FetchAsync(TimeSpan wait, CancellationToken cancellationToken)
    {
        Release();
        if (_isBusy)
            await Task.Delay(BusyPause, source.Time, cancellationToken).ConfigureAwait(false);
        _isBusy = false;
        if (_lacksCodec)
        {
            await Task.Delay(wait, source.Time, cancellationToken).ConfigureAwait(false);
            _lacksCodec = false;
            return false;
        }
        for (var attempt = 1; ; attempt++)
        {
            var fetched = await source.Broker.FetchAsync(new FetchRequest(source.Partition, _position, FetchBytes, wait),
                cancellationToken).ConfigureAwait(false);
            if (fetched.Error == ErrorCode.None)
            {
                if (fetched.Records.IsEmpty)
                {
                    fetched.Dispose();
                    return false;
                }
                (_fetched, _records) = (fetched, new RecordReader(fetched.Records, source.Codecs, takesTurns: true));
                return true;
            }
            var (error, text) = (fetched.Error, fetched.Message);
            fetched.Dispose();
            if (error == ErrorCode.OffsetOutOfRange)
            {
                await ReturnToLogAsync().ConfigureAwait(false);
                return true;
            }
            if (!await source.CanRetryAsync(error, text, attempt, cancellationToken).ConfigureAwait(false))
                throw new BrokerException(error, text ?? $"'{source.Partition}' was not read.");
        }
    }

    // Retention moved the log's start, or the log ends earlier than it did.
    private async ValueTask ReturnToLogAsync()
    {
        var first = await source.FindAsync(OffsetSpec.Earliest).ConfigureAwait(false);
        var end = await source.FindAsync(OffsetSpec.Latest).ConfigureAwait(false);
        _position = Math.Clamp(_position, first, Math.Max(first, end));
        _from = Math.Min(_from, _position);
    }

    // The last batch may be one that a queue's cursor wrote: the search goes further back in steps that double.
    private async ValueTask<long> FindLastAsync(long end)
    {
        var first = await source.FindAsync(OffsetSpec.Earliest).ConfigureAwait(false);
        for (var back = 1L; ; back *= 2)
        {
            _position = Math.Max(end - back, first);
            var last = -1L;
            while (_position < end && await FetchAsync(TimeSpan.Zero, CancellationToken.None).ConfigureAwait(false))
            {
                if (_fetched is not { } fetched)
                    continue;
                last = Math.Max(last, LastOf(fetched.Records.Span));
                _position = EndOf(fetched.Records.Span);
            }
            Release();
            if (last >= 0 || end - back <= first)
                return last >= 0 ? Math.Max(last, first) : end;
        }
    }

    private void Release()
    {
        _records?.Dispose();
        _fetched?.Dispose();
        (_records, _fetched) = (null, null);
    }

    private long NextOffset(long position)
    {
        for (var rest = _fetched!.Records.Span; rest.Length >= RecordBatchHeader.Size;)
        {
            var header = RecordBatchHeader.Read(rest);
            if (header.NextOffset > position)
                return header.NextOffset;
            rest = rest[header.SizeInBytes..];
        }
        return position + 1;
    }

    private static long EndOf(ReadOnlySpan<byte> batches)
    {
        var end = 0L;
        while (batches.Length >= RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(batches);
            end = header.NextOffset;
            batches = batches[header.SizeInBytes..];
        }
        return end;
    }

    // The base offset of the last batch of messages; -1: there is none.
    private static long LastOf(ReadOnlySpan<byte> batches)
    {
        var last = -1L;
        while (batches.Length >= RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(batches);
            if (!header.IsControl)
                last = header.BaseOffset;
            batches = batches[header.SizeInBytes..];
        }
        return last;
    }
}
