using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>
/// One client's connection: reads requests, has them answered, and sends the answers in the order of the requests. Appends are begun while others before them
/// wait for the disk or for replicas; whatever else is asked is begun when all before it is done, since a client may count on that order.
/// </summary>
internal sealed class KafkaConnection : IConnection
{
    // The least a request has: key, version, correlation id.
    private const int MinRequestBytes = 8;

    private readonly KafkaGateway _gateway;
    private readonly GatewayServices _services;
    private readonly IDuplexPipe _transport;
    // Also when the client goes: its requests that have arrived are served all the same, but nothing waits for long.
    private readonly CancellationTokenSource _aborted;
    private readonly CancellationTokenSource _stop = new();
    private readonly ByteBudget _inFlight;
    private readonly AnswerQueue _answers;
    // Whether all requests in flight are of the kind that others of it may overtake.
    private bool _runsAhead;
    private volatile bool _isStopping;
    private long _lastActivity;

    public KafkaConnection(KafkaGateway gateway, GatewayServices services, IDuplexPipe transport, IPEndPoint local, IPEndPoint remote, CancellationToken closed)
    {
        _gateway = gateway;
        _services = services;
        _transport = transport;
        LocalEndPoint = local;
        RemoteEndPoint = remote;
        _aborted = CancellationTokenSource.CreateLinkedTokenSource(closed, _stop.Token);
        _inFlight = new ByteBudget(services.Options.MaxInFlightBytesPerConnection);
        _answers = new AnswerQueue(transport.Output, services.Options.MaxInFlightRequests, Stop);
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
    public TimeSpan Idle => _answers.IsIdle ? _services.Options.TimeProvider.GetElapsedTime(Interlocked.Read(ref _lastActivity)) : TimeSpan.Zero;

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
        _transport.Input.CancelPendingRead();
        _stop.Cancel();
    }

    /// <summary>Serves the connection until it ends.</summary>
    public async Task RunAsync()
    {
        var sending = _answers.SendAsync();
        try
        {
            while (!_isStopping && !_answers.IsClosed && await ReadFrameAsync().ConfigureAwait(false) is { } frame)
            {
                Touch();
                await BeginAsync(frame).ConfigureAwait(false);
            }
        }
        catch (MalformedRequestException fault)
        {
            _services.Log(EngineLogLevel.Warning, $"The Kafka connection from {RemoteEndPoint} is closed: {fault.Message}.");
            _gateway.Metrics.Malformed();
        }
        catch (Exception gone) when (gone is IOException or OperationCanceledException or System.Net.Sockets.SocketException
            or Microsoft.AspNetCore.Connections.ConnectionAbortedException)
        {
            // The client went, or the gateway stops: there is nobody to tell.
        }
        finally
        {
            _answers.Complete();
            await sending.ConfigureAwait(false);
            await _transport.Input.CompleteAsync().ConfigureAwait(false);
            await _transport.Output.CompleteAsync().ConfigureAwait(false);
            if (Software is { } software)
                _gateway.Metrics.Left(software.Name, software.Version);
            // Not the other source: the gateway may be about to stop this very connection.
            _aborted.Dispose();
        }
    }

    private void Touch() => Interlocked.Exchange(ref _lastActivity, _services.Options.TimeProvider.GetTimestamp());

    private async ValueTask<RequestFrame?> ReadFrameAsync()
    {
        if (await ReadLengthAsync().ConfigureAwait(false) is not { } length)
            return null;
        await _inFlight.TakeAsync(length, _stop.Token).ConfigureAwait(false);
        try
        {
            await _gateway.InFlight.TakeAsync(length, _stop.Token).ConfigureAwait(false);
        }
        catch
        {
            _inFlight.Return(length);
            throw;
        }
        var frame = new RequestFrame(length);
        while (frame.Missing > 0)
        {
            var read = await _transport.Input.ReadAsync().ConfigureAwait(false);
            var taken = frame.Fill(read.Buffer);
            _transport.Input.AdvanceTo(read.Buffer.GetPosition(taken));
            if (frame.Missing > 0 && (read.IsCompleted || read.IsCanceled))
            {
                Release(frame);
                return null;
            }
        }
        return frame;
    }

    private async ValueTask<int?> ReadLengthAsync()
    {
        var read = await _transport.Input.ReadAtLeastAsync(sizeof(int)).ConfigureAwait(false);
        if (read.Buffer.Length < sizeof(int))
        {
            _transport.Input.AdvanceTo(read.Buffer.End);
            return null;
        }
        var head = read.Buffer.Slice(0, sizeof(int));
        var length = ReadInt32(head);
        _transport.Input.AdvanceTo(head.End);
        if (length < MinRequestBytes || length > _services.Options.MaxRequestBytes)
            throw new MalformedRequestException($"a request of {length} bytes is announced, {MinRequestBytes} to {_services.Options.MaxRequestBytes} are allowed; "
                + "this port speaks the Kafka protocol, without TLS");
        return length;
    }

    private static int ReadInt32(in ReadOnlySequence<byte> bytes)
    {
        Span<byte> copy = stackalloc byte[sizeof(int)];
        bytes.CopyTo(copy);
        return BinaryPrimitives.ReadInt32BigEndian(copy);
    }

    private async ValueTask BeginAsync(RequestFrame frame)
    {
        DecodedRequest request;
        try
        {
            request = ApiTable.Decode(frame.Memory);
            if (request.Outcome != DecodeOutcome.Decoded && !IsUnknownApiVersions(request))
                throw new MalformedRequestException(request.Fault!);
            if (!request.Api!.RunsAhead || !_runsAhead)
                await _answers.WaitUntilAllSentAsync().ConfigureAwait(false);
            _runsAhead = request.Api.RunsAhead;
            await _answers.TakeRoomAsync(_stop.Token).ConfigureAwait(false);
        }
        catch
        {
            Release(frame);
            throw;
        }
        var context = new RequestContext
        {
            Services = _services,
            Version = request.Version,
            CorrelationId = request.CorrelationId,
            ClientId = request.ClientId,
            Connection = this,
        };
        var answer = AnswerAsync(context, request, frame);
        _answers.Enqueue(answer);
        if (context.HoldsBack || !request.Api.RunsAhead)
            await answer.ConfigureAwait(false);
    }

    private static bool IsUnknownApiVersions(in DecodedRequest request) =>
        request is { Outcome: DecodeOutcome.UnsupportedVersion, Api: ApiVersionsApi };

    private async Task<ResponseWriter?> AnswerAsync(RequestContext context, DecodedRequest request, RequestFrame frame)
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
            _services.Log(EngineLogLevel.Error, $"{api.Key} version {request.Version} from {RemoteEndPoint} could not be answered; the connection is closed.", fault);
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
