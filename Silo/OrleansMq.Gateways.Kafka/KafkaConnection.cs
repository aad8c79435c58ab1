using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using OrleansMq.Access;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Sasl;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Quotas;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka;

/// <summary>
/// A Kafka client's connection: decodes requests, has their APIs answer them, and keeps the responses in order. Appends begin while earlier
/// appends wait for the disk or for replicas. Any other request begins once all before it are answered, since a client may rely on that
/// order.
/// </summary>
internal sealed class KafkaConnection : GatewayConnection, IConnection
{
    // The smallest request: key, version, correlation id.
    private const int MinRequestBytes = 8;
    // The first two bytes of a TLS handshake: as the length of a request 352 MiB.
    private const int TlsHandshake = 0x1603;
    // The longest that a produce waits until nothing is owed: clients give up after 30 seconds.
    private static readonly TimeSpan MostHold = TimeSpan.FromSeconds(15);
    // A client that may not write uses no quota, and is slowed all the same.
    private static readonly TimeSpan MostForRefused = TimeSpan.FromSeconds(5);

    private readonly KafkaMetrics _metrics;
    private readonly GatewayServices _services;
    private readonly ClientSession _session;
    // Whether all requests in flight are of the kind that further ones may overtake.
    private bool _runsAhead;

    public KafkaConnection(ConnectionServer server, AcceptedClient client, GatewayServices services, KafkaMetrics metrics)
        : base(server, client)
    {
        _services = services;
        _session = new ClientSession(services.Access, this);
        if (services.RequiresSasl(Listener))
            Sasl = new SaslSession(services, services.Security
                ?? throw new InvalidOperationException("A listener requires SASL, but this broker has no users."),
                RemoteEndPoint.Address.ToString(), Cut);
        // Too many others have not authenticated yet.
        if (Sasl is { Phase: SaslPhase.Failed })
            Stop();
        Number = services.NextConnection();
        _metrics = metrics;
    }

    /// <summary>The program that the client introduced itself as; null before.</summary>
    public (string Name, string Version)? Software { get; private set; }

    /// <inheritdoc/>
    public long Number { get; }

    /// <inheritdoc/>
    public SaslSession? Sasl { get; }

    /// <inheritdoc/>
    public string Principal => (Sasl is null ? CertificatePrincipal : Sasl.Principal) ?? BrokerSession.Anonymous;

    /// <summary>The length in front of a request: a big-endian int32.</summary>
    protected override int HeadBytes => sizeof(int);

    /// <inheritdoc/>
    public void Introduce(string name, string version)
    {
        if (Software is not null)
            return;
        Software = (name, version);
        _metrics.Introduced(name, version);
    }

    /// <inheritdoc/>
    protected override int LengthOf(ReadOnlySpan<byte> head)
    {
        var length = BinaryPrimitives.ReadInt32BigEndian(head);
        if (length >> 16 == TlsHandshake)
            throw new MalformedRequestException($"the client speaks TLS, which its listener {Listener} does not: connect to one with TLS, "
                + "or configure the client's security.protocol without SSL");
        // A client that nobody knows yet takes little memory. A message without a header may be short.
        var most = Sasl is { IsDone: false } ? SaslExchange.MaxMessageBytes : _services.Options.MaxRequestBytes;
        var least = Sasl is { TakesRawMessages: true } ? 0 : MinRequestBytes;
        if (length < least || length > most)
            throw new MalformedRequestException($"a request of {length} bytes is announced, {least} to {most} are allowed; this port "
                + "speaks the Kafka protocol");
        return length;
    }

    /// <inheritdoc/>
    protected override async ValueTask BeginAsync(RequestFrame frame)
    {
        if (Sasl is { TakesRawMessages: true } sasl)
        {
            await BeginRawAsync(frame, sasl).ConfigureAwait(false);
            return;
        }
        DecodedRequest request;
        (bool IsRefused, TimeSpan Throttle) paced = default;
        try
        {
            // Before anything is made of the body: a client that nobody knows yet takes little memory.
            if (Sasl?.WhyNot((ApiKey)BinaryPrimitives.ReadInt16BigEndian(frame.Memory.Span)) is { } refusal)
                throw new MalformedRequestException(refusal);
            request = ApiTable.Decode(frame.Memory);
            if (request.Outcome != DecodeOutcome.Decoded && !IsUnknownApiVersions(request))
                throw new MalformedRequestException(request.Fault!);
            var isQuick = request.Body is { } body && request.Api!.IsQuick(_services, body);
            await LeaveLoopUnlessQuickAsync(isQuick, frame.Length).ConfigureAwait(false);
            var mayOvertake = request.Api!.RunsAhead && _runsAhead;
            await Responses.WaitUntilOpenAsync(mayOvertake ? _services.Options.MaxInFlightRequests - 1 : 0).ConfigureAwait(false);
            _runsAhead = request.Api.RunsAhead;
            if (request.Body is ProduceRequest produce && _session.For(request.ClientId) is { Quotas.IsOn: true } access)
                paced = await PaceAsync(access, access.Quotas, produce, frame.Length).ConfigureAwait(false);
        }
        catch
        {
            Release(frame);
            throw;
        }
        var context = new RequestContext
        {
            Services = _services,
            Access = _session.For(request.ClientId),
            Version = request.Version,
            CorrelationId = request.CorrelationId,
            ClientId = request.ClientId,
            Connection = this,
            Burst = request.Api!.RunsAhead ? Burst : null,
            IsOverQuota = paced.IsRefused,
        };
        // Before the next request is read, also where none is answered.
        if (paced.Throttle > TimeSpan.Zero)
        {
            context.Throttle(QuotaKey.ProducerByteRate, paced.Throttle);
            Mute(paced.Throttle);
        }
        if (!Responses.Add(AnswerAsync(context, request, frame)))
        {
            WriteFullBurst();
            if (context.HoldsBack || !request.Api.RunsAhead)
                await WaitUntilAllSentAsync().ConfigureAwait(false);
        }
        if (Sasl is { Phase: SaslPhase.Failed })
            Stop();
    }

    // Takes the bytes of a produce from its client's quota: the records are kept. What other connections owe is waited for, or where that
    // takes too long, the request is refused.
    private async ValueTask<(bool IsRefused, TimeSpan Throttle)> PaceAsync(SessionAccess access, ClientQuotas quotas,
        ProduceRequest request, int bytes)
    {
        const QuotaKey key = QuotaKey.ProducerByteRate;
        if (quotas.Of(key) is not { } account)
            return default;
        // Others may share the quota.
        if (!request.MayWriteAny(access, _services.Partitions))
            return (false, TimeSpan.FromSeconds(Math.Min(bytes / account.Share, MostForRefused.TotalSeconds)));
        var owed = account.Wait();
        if (owed > TimeSpan.Zero && owed <= MostHold)
        {
            await LeaveLoopUnlessQuickAsync(isQuick: false, bytes).ConfigureAwait(false);
            await WaitUntilAllSentAsync().ConfigureAwait(false);
            quotas.Throttled(key, owed);
            await quotas.HoldAsync(owed, Aborted).ConfigureAwait(false);
            // Others have waited, too.
            owed = quotas.Of(key)?.Wait() ?? TimeSpan.Zero;
        }
        return owed > MostHold ? (true, owed) : (false, quotas.Charge(key, bytes));
    }

    /// <inheritdoc/>
    protected override bool IsHeldBack => _session.Quotas?.Wait() > TimeSpan.Zero;

    // A message of an authentication without the header of a request, after the first version of the handshake.
    private async ValueTask BeginRawAsync(RequestFrame frame, SaslSession sasl)
    {
        await LeaveLoopUnlessQuickAsync(isQuick: false, frame.Length).ConfigureAwait(false);
        Responses.Add(AnswerAsync());
        await WaitUntilAllSentAsync().ConfigureAwait(false);
        if (sasl.Phase == SaslPhase.Failed)
            Stop();

        async ValueTask<Response?> AnswerAsync()
        {
            try
            {
                var answer = await sasl.NextAsync(frame.Memory, Aborted).ConfigureAwait(false);
                if (answer.Error != ErrorCode.None)
                    return Response.Close();
                var response = new ResponseWriter(0, isFlexible: false);
                response.WriteInt32(0);
                response.WriteRaw(answer.Bytes);
                return response;
            }
            catch (Exception unanswered) when (unanswered is IOException or OperationCanceledException)
            {
                return Response.Close();
            }
            finally
            {
                Release(frame);
            }
        }
    }

    /// <inheritdoc/>
    protected override void OnEnded()
    {
        Sasl?.Dispose();
        if (Software is { } software)
            _metrics.Left(software.Name, software.Version);
    }

    private static bool IsUnknownApiVersions(in DecodedRequest request) =>
        request is { Outcome: DecodeOutcome.UnsupportedVersion, Api: ApiVersionsApi };

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<Response?> AnswerAsync(RequestContext context, DecodedRequest request, RequestFrame frame)
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
            var answering = api.AnswerAsync(context, request.Body, response);
            var quotas = Sasl is { IsDone: false } ? null : context.Access.Quotas is { IsOn: true } on ? on : null;
            if (quotas is not null)
                Charge(quotas, context, _services.Options.TimeProvider.GetElapsedTime(began));
            var isAnswered = await answering.ConfigureAwait(false);
            if (quotas is not null)
                Throttle(quotas, context, api.Key, response);
            if (isAnswered || response.ClosesConnection)
                return response;
            response.Dispose();
            return null;
        }
        catch (Exception fault)
        {
            response?.Dispose();
            if (fault is OperationCanceledException && Aborted.IsCancellationRequested)
                return Response.Close();
            if (fault is AnswerTooLargeException)
            {
                _services.TooLarge.Write(EngineLogLevel.Warning,
                    $"{api.Key} from {RemoteEndPoint} is not answered, and the connection is closed: {fault.Message}");
                return Response.Close();
            }
            // A bug, or a fault of the environment that the protocol has no error for: the client retries on another connection.
            _services.Log(EngineLogLevel.Error,
                $"{api.Key} version {request.Version} from {RemoteEndPoint} could not be answered; the connection is closed.", fault);
            return Response.Close();
        }
        finally
        {
            Release(frame);
            Measure(api.Key, _services.Options.TimeProvider.GetElapsedTime(began));
        }
    }

    // The time for which the request has kept this thread. What it waits for is not the client's.
    private static void Charge(ClientQuotas quotas, RequestContext context, TimeSpan time)
    {
        var wait = quotas.Charge(QuotaKey.RequestPercentage, time.TotalSeconds * 100);
        context.Throttle(QuotaKey.RequestPercentage, BrokerQuotas.RequestThrottle(wait));
    }

    // The answer is sent at once, and the connection is read again when the time has passed (KIP-219).
    private void Throttle(ClientQuotas quotas, RequestContext context, ApiKey key, ResponseWriter response)
    {
        // The records are locked for the member already.
        if (key == ApiKey.ShareFetch)
            context.Throttle(QuotaKey.ConsumerByteRate, quotas.Charge(QuotaKey.ConsumerByteRate, response.Length));
        if (context.ThrottleTime <= TimeSpan.Zero)
            return;
        response.Throttle((int)Math.Ceiling(context.ThrottleTime.TotalMilliseconds));
        quotas.Throttled(context.ThrottledBy, context.ThrottleTime);
        Mute(context.ThrottleTime);
    }

    // A listener to the metrics is code of the application. The response is sent whatever it throws.
    private void Measure(ApiKey key, TimeSpan duration)
    {
        try
        {
            _metrics.Answered(key, duration);
        }
        catch (Exception fault)
        {
            _services.FaultyListeners.Write(EngineLogLevel.Warning, $"A listener to the metrics of Kafka requests threw: {fault.Message}",
                fault);
        }
    }
}
