using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using OrleansMq.Api;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// One produce request: lines of JSON in, answers in the same order out, both streamed, in bounded memory.
/// <para>One loop reads, appends and answers; completions elsewhere (of input, a batch, a flush) only wake it. Lines are appended as they
/// arrive. An invalid line ends the stream: the lines before it are appended and answered, that line and later ones are not. If the broker
/// refuses a batch, each of its records gets an error, and the stream continues.</para>
/// <para>A line that has not ended after <see cref="RequestBody.FreeBytes"/> takes part in the memory of large bodies
/// (<see cref="RequestBodies"/>) until it has, and must keep their pace.</para>
/// </summary>
internal sealed class ProduceStream
{
    /// <summary>How long a client may leave a full queue of answers unread before its connection is cut. Such a client would never send
    /// on.</summary>
    private static readonly TimeSpan UnreadTimeout = TimeSpan.FromSeconds(60);

    private readonly HttpContext _http;
    private readonly ApiServices _api;
    private readonly PipeReader _input;
    private readonly WakeUp _wakeUp = new();
    private readonly AnswerQueue _answers = new();
    private readonly AnswerWriter _writer;
    private readonly BatchSender _sender;
    private readonly RecordLineParser _parser;
    private readonly int _maxLineBytes;
    private readonly int _freeLineBytes;
    private LineScanner _scanner;
    private byte[] _joined = [];
    // The line that has not ended, once it is long.
    private IncomingBody? _long;
    private long _line;
    private StreamFault? _fault;

    public ProduceStream(HttpContext http, ApiServices api, IBroker broker, string topic, TopicShape shape, ProduceOptions options)
    {
        _http = http;
        _api = api;
        _input = http.Request.BodyReader;
        _writer = new AnswerWriter(http, _answers, _wakeUp);
        _parser = new RecordLineParser(options.IsBase64);
        _sender = new BatchSender(broker, topic, shape, options, api, _wakeUp);
        // JSON expands a byte to at most six (\u0000), so no record within the topic's limit is refused for its line.
        _maxLineBytes = (int)Math.Min(6L * shape.MaxMessageBytes + 4096, Array.MaxLength);
        _freeLineBytes = Math.Min(_maxLineBytes, RequestBody.FreeBytes);
    }

    /// <summary>Handles the whole request.</summary>
    /// <exception cref="RequestException">Nothing was appended.</exception>
    public async Task RunAsync()
    {
        RequestBody.Limit(_http, null);
        // A stream of events may be silent for hours, and some clients read no answer before they have sent everything.
        if (_http.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } input)
            input.MinDataRate = null;
        if (_http.Features.Get<IHttpMinResponseDataRateFeature>() is { } output)
            output.MinDataRate = null;
        await using var aborted = _http.RequestAborted.Register(static state => ((WakeUp)state!).Signal(), _wakeUp);
        await using var draining = _api.Gate.Draining.Register(CancelRead, _input);
        try
        {
            await ReadAsync();
            // A client that reads no answers must not keep it.
            ReturnLongLine();
            await AnswerAllAsync();
        }
        finally
        {
            ReturnLongLine();
            // The broker owns the memory of sent batches until it answers, even if the client is gone.
            await _sender.SettleAsync();
            _sender.Dispose();
            _parser.Dispose();
            if (_joined.Length > 0)
                ArrayPool<byte>.Shared.Return(_joined);
        }
    }

    private async Task ReadAsync()
    {
        while (_fault is null)
        {
            if (!_answers.HasRoom)
                await WaitForRoomAsync();
            if (!_input.TryRead(out var read))
                read = await WaitForInputAsync();
            var consumed = await AppendLinesAsync(read.Buffer, read.IsCompleted);
            _input.AdvanceTo(consumed, _fault is null ? read.Buffer.End : consumed);
            _writer.Pump();
            if (read.IsCanceled && _fault is null)
                EndInput();
            if (read.IsCompleted)
                return;
        }
    }

    /// <summary>Waits until the client reads answers, since the queue is full.</summary>
    private async ValueTask WaitForRoomAsync()
    {
        _long?.IsPaused = true;
        using var patience = new CancellationTokenSource(UnreadTimeout, _api.TimeProvider);
        await using var over = patience.Token.Register(static state => ((WakeUp)state!).Signal(), _wakeUp);
        await UntilAsync(stream => stream._answers.HasRoom || patience.IsCancellationRequested);
        _long?.IsPaused = false;
        if (_answers.HasRoom)
            return;
        _api.Logger.AnswersUnread(_answers.Count, UnreadTimeout.TotalSeconds);
        _http.Abort();
        throw new OperationCanceledException("The client reads no answers.");
    }

    /// <summary>Wakes the loop to end the input.</summary>
    private static void CancelRead(object? input)
    {
        try
        {
            ((PipeReader)input!).CancelPendingRead();
        }
        catch (OperationCanceledException)
        {
            // The client is gone: its input has ended.
        }
    }

    /// <summary>Ends the stream because its input was cancelled: a long line arrives too slowly, or the broker drains, since the rest of
    /// the input may take hours.</summary>
    private void EndInput()
    {
        if (_long is { IsTooSlow: true } slow)
            _fault = new StreamFault(_line + 1, ErrorCode.RequestTimedOut, $"line {_line + 1} arrives too slowly for the memory that it "
                + $"takes: {slow.Frame.Filled} bytes of it have arrived. It and those after it were not read; send them again.")
            {
                Status = StatusCodes.Status408RequestTimeout,
            };
        else if (_api.Gate.Draining.IsCancellationRequested)
            _fault = new StreamFault(_line + 1, ErrorCode.LeaderNotAvailable,
                $"the broker is shutting down: line {_line + 1} and those after it were not read; send them again to a running broker.");
        else
            return; // A line that was too slow has ended all the same.
        // Otherwise the server would read that input to its end before reusing the connection.
        _http.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
    }

    private ValueTask<ReadResult> WaitForInputAsync()
    {
        Trim();
        var pending = _input.ReadAsync(_http.RequestAborted);
        return pending.IsCompleted ? pending : ServeUntilAsync(pending.AsTask());
    }

    /// <summary>Sends batches and answers until what the stream needs has come.</summary>
    private async ValueTask<T> ServeUntilAsync<T>(Task<T> coming)
    {
        _wakeUp.SignalAfter(coming);
        while (true)
        {
            var next = _wakeUp.Next;
            // Nothing is read meanwhile, so holding batches back gains nothing.
            _sender.SendIdle();
            _writer.Pump();
            if (coming.IsCompleted)
                return await coming;
            await next;
        }
    }

    /// <summary>Appends the complete lines of <paramref name="buffer"/>; returns the position after them, or after what a long line has
    /// taken in.</summary>
    private async ValueTask<SequencePosition> AppendLinesAsync(ReadOnlySequence<byte> buffer, bool isLast)
    {
        while (_fault is null && (!buffer.IsEmpty || (isLast && _long is not null)))
        {
            var end = _scanner.FindEnd(buffer);
            var isWhole = end is not null || isLast;
            if (!isWhole && _long is null && buffer.Length <= _freeLineBytes)
                break;
            var line = end is { } feed ? buffer.Slice(0, feed) : buffer;
            if (!isWhole || _long is not null)
            {
                await AddToLongLineAsync(line);
                if (_fault is not null)
                    break;
                if (!isWhole)
                {
                    // What it has taken in is not searched again.
                    _scanner = default;
                    return buffer.End;
                }
                await AppendLongLineAsync();
            }
            else
            {
                _line++;
                if (ParseLine(line))
                    await AppendRecordAsync();
            }
            if (_fault is null)
                buffer = end is { } at ? buffer.Slice(buffer.GetPosition(1, at)) : buffer.Slice(buffer.End);
        }
        return buffer.Start;
    }

    /// <summary>Takes in what has arrived of a line that is long.</summary>
    private async ValueTask AddToLongLineAsync(ReadOnlySequence<byte> part)
    {
        if ((_long?.Frame.Filled ?? 0) + part.Length > _maxLineBytes)
        {
            _line++;
            FailTooLong();
            return;
        }
        var line = _long ??= BeginLongLine();
        var adding = line.TryAddAsync(part);
        try
        {
            if (adding.IsCompleted ? await adding : await ServeUntilAsync(adding))
                return;
        }
        finally
        {
            // Until then it may take memory, which would never be returned.
            await adding;
        }
        _http.RequestAborted.ThrowIfCancellationRequested();
        EndInput();
    }

    private IncomingBody BeginLongLine()
    {
        var line = _api.RequestBodies.Begin(_maxLineBytes, isAnnounced: false, _http.RequestAborted, _api.Gate.Draining);
        line.Token.UnsafeRegister(CancelRead, _input);
        return line;
    }

    /// <summary>Appends the record of a long line that has ended.</summary>
    private async ValueTask AppendLongLineAsync()
    {
        var line = _long!;
        // What follows does not depend on the client's pace.
        line.Dispose();
        _line++;
        var isRecord = ParseLine(new ReadOnlySequence<byte>(line.Frame.Arrived));
        // The parser has a copy, for which its room stays taken.
        line.Frame.Dispose();
        if (isRecord)
            await AppendRecordAsync();
        Trim();
        ReturnLongLine();
    }

    private void ReturnLongLine()
    {
        if (_long is not { } line)
            return;
        _long = null;
        line.Dispose();
        _api.RequestBodies.Return(line.Frame);
    }

    /// <summary>Gives back what lines took that were longer than most.</summary>
    private void Trim()
    {
        _parser.Trim(RequestBody.FreeBytes);
        if (_joined.Length <= RequestBody.FreeBytes)
            return;
        ArrayPool<byte>.Shared.Return(_joined);
        _joined = [];
    }

    /// <summary>Parses a line. False for a blank line, which is skipped, or an invalid one.</summary>
    private bool ParseLine(in ReadOnlySequence<byte> line)
    {
        if (line.Length > _maxLineBytes)
        {
            FailTooLong();
            return false;
        }
        var text = (line.IsSingleSegment ? line.FirstSpan : Join(line)).Trim(" \t\r"u8);
        if (_line == 1 && text.StartsWith("\uFEFF"u8))
            text = text["\uFEFF"u8.Length..];
        if (text.IsEmpty)
            return false;
        if (_parser.Parse(text) is { } fault)
            Fail(fault.Field, fault.Message);
        else if (_parser.Partition is { } partition && partition >= _sender.PartitionCount)
            Fail("partition", $"{partition} does not exist: the topic has {_sender.PartitionCount}, numbered from 0",
                ErrorCode.UnknownTopicOrPartition);
        return _fault is null;
    }

    private ReadOnlySpan<byte> Join(in ReadOnlySequence<byte> line)
    {
        var length = (int)line.Length;
        if (_joined.Length < length)
        {
            if (_joined.Length > 0)
                ArrayPool<byte>.Shared.Return(_joined);
            _joined = ArrayPool<byte>.Shared.Rent(length);
        }
        line.CopyTo(_joined);
        return _joined.AsSpan(0, length);
    }

    private async ValueTask AppendRecordAsync()
    {
        var size = _sender.SizeOf(_parser);
        var lane = _sender.LaneFor(_parser);
        if (!_sender.TryMakeRoom(lane, size))
            await UntilAsync(stream => stream._sender.TryMakeRoom(lane, size));
        var timestamp = _parser.Timestamp ?? _api.TimeProvider.GetUtcNow().ToUnixTimeMilliseconds();
        _answers.Add(_sender.Add(lane, _parser, timestamp));
    }

    private void FailTooLong() => Fail(null,
        $"longer than {_maxLineBytes} bytes, more than any record within the topic's max.message.bytes can take",
        ErrorCode.MessageTooLarge);

    private void Fail(string? field, string message, ErrorCode code = ErrorCode.InvalidRequest) =>
        _fault = new StreamFault(_line, code, $"line {_line}: {(field is null ? "" : field + ": ")}{message}.");

    private async Task AnswerAllAsync()
    {
        await UntilAsync(static stream => stream._sender.TrySendAll());
        await UntilAsync(static stream => !stream._sender.IsBusy);
        RefuseWhole();
        _writer.InputEnded = true;
        await UntilAsync(static stream => stream._writer.IsIdle);
        if (_fault is not null)
            _writer.WriteFault(_fault);
        _writer.Start();
        await UntilAsync(static stream => stream._writer.IsIdle);
    }

    /// <summary>Answers a request that appended nothing, for one reason, with that reason's status rather than with lines.</summary>
    private void RefuseWhole()
    {
        if (_writer.HasStarted)
            return;
        if (_answers.Count == 0)
        {
            if (_fault is not null)
                throw new RequestException(_fault.Status ?? ErrorStatus.Of(_fault.Code, false), _fault.Code, _fault.Message);
            return;
        }
        ProduceResult? first = null;
        foreach (var batch in _answers.Batches())
        {
            first ??= batch.Result;
            if (batch.Result.Error == ErrorCode.None || batch.Result.Error != first.Value.Error)
                return;
        }
        if (_fault is null && first is { } refusal)
            throw new BrokerException(refusal.Error, refusal.Message ?? refusal.Error.ToString());
    }

    /// <summary>Answers completed batches, and waits until <paramref name="condition"/> holds.</summary>
    private async ValueTask UntilAsync(Func<ProduceStream, bool> condition)
    {
        while (true)
        {
            var next = _wakeUp.Next;
            _writer.Pump();
            if (condition(this))
                return;
            _http.RequestAborted.ThrowIfCancellationRequested();
            await next;
        }
    }
}
