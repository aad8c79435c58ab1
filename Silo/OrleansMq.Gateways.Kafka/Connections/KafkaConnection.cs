using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Connections.Loops;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Partitions;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>
/// One client's connection: reads requests, has them answered, and sends the answers in the order of the requests. Appends are begun while
/// others before them wait for the disk or for replicas; whatever else is asked is begun when all before it is done, since a client may
/// count on that order.
/// </summary>
internal sealed class KafkaConnection : IConnection
{
    // The least a request has: key, version, correlation id.
    private const int MinRequestBytes = 8;

    /// <summary>What a loop deals with itself at most: Kafka's producers send batches of 16 KiB unless they are told otherwise. It is
    /// written in some microseconds.</summary>
    public const int MaxQuickBytes = 32 << 10;

    private readonly KafkaGateway _gateway;
    private readonly GatewayServices _services;
    private readonly ClientSocket _socket;
    private readonly FrameReader _requests;
    // Also when the client goes: its requests that have arrived are served all the same, but nothing waits for long.
    private readonly CancellationTokenSource _aborted = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly ByteBudget _inFlight;
    private readonly AnswerQueue _answers;
    // What it has brought in a loop's turn.
    private (long Turn, long Bytes) _share;
    // Appends whose requests came together, where the thread pool serves it.
    private readonly AppendBurst _burst = new();
    // Whether all requests in flight are of the kind that others of it may overtake.
    private bool _runsAhead;
    // Receives while an answer is waited for; the next request is read behind it.
    private Task? _watching;
    private volatile bool _isStopping;
    private volatile bool _isBeginning;
    private long _lastActivity;

    public KafkaConnection(KafkaGateway gateway, GatewayServices services, ClientSocket socket, IPEndPoint local, IPEndPoint remote)
    {
        _gateway = gateway;
        _services = services;
        _socket = socket;
        LocalEndPoint = local;
        RemoteEndPoint = remote;
        _inFlight = new ByteBudget(services.Options.MaxInFlightBytesPerConnection);
        _answers = new AnswerQueue(new AnswerSender(socket, gateway.Pieces), Stop, Fail, BeforeWait, Touch);
        _requests = new FrameReader(socket, BeforeWait);
        Touch();
    }

    /// <inheritdoc/>
    public IPEndPoint LocalEndPoint { get; }

    /// <inheritdoc/>
    public IPEndPoint RemoteEndPoint { get; }

    /// <inheritdoc/>
    public CancellationToken Aborted => _aborted.Token;

    /// <summary>What program the client says it is; null before it says so.</summary>
    public (string Name, string Version)? Software { get; private set; }

    /// <summary>For how long it has said nothing, and been told nothing.</summary>
    public TimeSpan Idle => !_isBeginning && _answers.IsIdle
        ? _services.Options.TimeProvider.GetElapsedTime(Interlocked.Read(ref _lastActivity)) : TimeSpan.Zero;

    /// <inheritdoc/>
    public void Introduce(string name, string version)
    {
        if (Software is not null)
            return;
        Software = (name, version);
        _gateway.Metrics.Introduced(name, version);
    }

    /// <summary>Reads no more requests and ends what waits; what is begun is answered.</summary>
    public void Stop()
    {
        _isStopping = true;
        try
        {
            // Who waits for a request hears of its end.
            _socket.Socket.Shutdown(SocketShutdown.Receive);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // It has ended already.
        }
        _stop.Cancel();
        Abort();
    }

    /// <summary>Serves the connection until it ends.</summary>
    public async Task RunAsync()
    {
        try
        {
            while (!_isStopping && !_answers.IsClosed && await ReadFrameAsync().ConfigureAwait(false) is { } frame)
            {
                _isBeginning = true;
                Touch();
                await BeginAsync(frame).ConfigureAwait(false);
                _isBeginning = false;
            }
        }
        catch (MalformedRequestException fault)
        {
            _services.Log(EngineLogLevel.Warning, $"The Kafka connection from {RemoteEndPoint} is closed: {fault.Message}.");
            _gateway.Metrics.Malformed();
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The client went, or the gateway stops: there is nobody to tell.
        }
        finally
        {
            // Nobody asks any more: who waits for records ends, what is begun is answered.
            Abort();
            await _answers.WaitUntilOpenAsync(0).ConfigureAwait(false);
            _requests.GiveBack();
            if (Software is { } software)
                _gateway.Metrics.Left(software.Name, software.Version);
        }
    }

    private void Touch() => Interlocked.Exchange(ref _lastActivity, _services.Options.TimeProvider.GetTimestamp());

    // A client that waits for that answer must not wait for ever.
    private void Fail(Exception fault)
    {
        _services.Log(EngineLogLevel.Error, $"An answer to {RemoteEndPoint} could not be sent; the connection is closed.", fault);
        Stop();
    }

    private void Abort()
    {
        if (!_aborted.IsCancellationRequested)
            _aborted.Cancel();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<RequestFrame?> ReadFrameAsync()
    {
        if (_watching is { } watching)
        {
            await watching.ConfigureAwait(false);
            _watching = null;
        }
        if (await _requests.ReadLengthAsync().ConfigureAwait(false) is not { } length)
            return null;
        if (length < MinRequestBytes || length > _services.Options.MaxRequestBytes)
            throw new MalformedRequestException($"a request of {length} bytes is announced, {MinRequestBytes} to "
                + $"{_services.Options.MaxRequestBytes} are allowed; "
                + "this port speaks the Kafka protocol, without TLS");
        await TakeBudgetAsync(length).ConfigureAwait(false);
        var frame = new RequestFrame(length);
        var isWhole = false;
        try
        {
            isWhole = await _requests.FillAsync(frame).ConfigureAwait(false);
        }
        finally
        {
            if (!isWhole)
                Release(frame);
        }
        return isWhole ? frame : null;
    }

    private async ValueTask TakeBudgetAsync(int bytes)
    {
        var taking = _inFlight.TakeAsync(bytes, _stop.Token);
        if (!taking.IsCompleted)
            BeforeWait();
        await taking.ConfigureAwait(false);
        try
        {
            taking = _gateway.InFlight.TakeAsync(bytes, _stop.Token);
            if (!taking.IsCompleted)
                BeforeWait();
            await taking.ConfigureAwait(false);
        }
        catch
        {
            _inFlight.Return(bytes);
            throw;
        }
    }

    private async ValueTask BeginAsync(RequestFrame frame)
    {
        DecodedRequest request;
        try
        {
            request = ApiTable.Decode(frame.Memory);
            if (request.Outcome != DecodeOutcome.Decoded && !IsUnknownApiVersions(request))
                throw new MalformedRequestException(request.Fault!);
            await LeaveLoopUnlessQuickAsync(request, frame.Length).ConfigureAwait(false);
            var mayOvertake = request.Api!.RunsAhead && _runsAhead;
            await _answers.WaitUntilOpenAsync(mayOvertake ? _services.Options.MaxInFlightRequests - 1 : 0).ConfigureAwait(false);
            _runsAhead = request.Api.RunsAhead;
        }
        catch
        {
            Release(frame);
            throw;
        }
        var turn = _socket.Turn;
        var context = new RequestContext
        {
            Services = _services,
            Version = request.Version,
            CorrelationId = request.CorrelationId,
            ClientId = request.ClientId,
            Connection = this,
            Burst = request.Api!.RunsAhead ? turn?.Burst ?? (_requests.IsEmpty ? null : _burst) : null,
        };
        if (_answers.Add(AnswerAsync(context, request, frame)))
            return;
        if (turn is { Burst.IsFull: true })
            turn.EndTurn();
        else if (_burst.IsFull)
            BeforeWait();
        if (context.HoldsBack || !request.Api.RunsAhead)
            await WaitUntilAllSentAsync().ConfigureAwait(false);
    }

    // Others wait for their turn on that thread. What comes next is likely to be as this one is.
    private async ValueTask LeaveLoopUnlessQuickAsync(DecodedRequest request, int length)
    {
        var isQuick = length <= MaxQuickBytes && request.Body is { } body && request.Api!.IsQuick(_services, body);
        _socket.IsQuick = isQuick;
        if (_socket.Turn is { } turn && (!isQuick || turn.IsTooMuch(ref _share, length) || _socket.TryMove(length)))
            await LoopExit.Now;
    }

    // What was begun is done, and what is answered sent: the client may wait for it before it sends anything more. On a loop that is done
    // for all at the turn's end.
    private void BeforeWait()
    {
        if (_socket.Turn is { } turn)
        {
            turn.Defer(_answers);
            return;
        }
        if (_burst.IsEmpty)
        {
            _answers.SendReady();
            return;
        }
        _answers.Hold();
        try
        {
            _burst.Run();
        }
        finally
        {
            _answers.SendHeld();
        }
    }

    private async ValueTask WaitUntilAllSentAsync()
    {
        BeforeWait();
        if (_answers.IsIdle)
            return;
        // The answer may take minutes: that the client has gone is noticed before, unless it has sent the next request already.
        if (_watching is null && _requests.IsEmpty)
            _watching = WatchAsync();
        await _answers.WaitUntilOpenAsync(0).ConfigureAwait(false);
    }

    private async Task WatchAsync()
    {
        try
        {
            if (!await _requests.ReceiveAsync().ConfigureAwait(false))
                Abort();
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            Abort();
        }
    }

    private static bool IsUnknownApiVersions(in DecodedRequest request) =>
        request is { Outcome: DecodeOutcome.UnsupportedVersion, Api: ApiVersionsApi };

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ResponseWriter?> AnswerAsync(RequestContext context, DecodedRequest request, RequestFrame frame)
    {
        var api = request.Api!;
        var began = _services.Options.TimeProvider.GetTimestamp();
        ResponseWriter? response = null;
        try
        {
            if (request.Body is null)
            {
                response = new ResponseWriter(0, isFlexible: false);
                response.WriteHeader(request.CorrelationId, hasTags: false);
                ((ApiVersionsApi)api).WriteUnsupported(response);
                return response;
            }
            response = new ResponseWriter(request.Version, api.IsFlexible(request.Version));
            response.WriteHeader(request.CorrelationId, api.HasTagsInResponseHeader(request.Version));
            if (await api.AnswerAsync(context, request.Body, response).ConfigureAwait(false) || response.ClosesConnection)
                return response;
            response.Dispose();
            return null;
        }
        catch (Exception fault)
        {
            response?.Dispose();
            if (fault is OperationCanceledException && Aborted.IsCancellationRequested)
                return AnswerQueue.Close();
            // A fault of ours, or of the environment that no answer has a word for: the client retries on another connection.
            _services.Log(EngineLogLevel.Error,
                $"{api.Key} version {request.Version} from {RemoteEndPoint} could not be answered; the connection is closed.", fault);
            return AnswerQueue.Close();
        }
        finally
        {
            Release(frame);
            _gateway.Metrics.Answered(api.Key, _services.Options.TimeProvider.GetElapsedTime(began));
        }
    }

    private void Release(RequestFrame frame)
    {
        frame.Dispose();
        _inFlight.Return(frame.Length);
        _gateway.InFlight.Return(frame.Length);
    }
}
