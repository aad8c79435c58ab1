using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Sasl;

/// <summary>Where a connection is in its authentication.</summary>
internal enum SaslPhase
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>A handshake is expected.</summary>
    Initial = 1,
    /// <summary>A message of the chosen mechanism is expected.</summary>
    Exchanging = 2,
    /// <summary>The client is authenticated.</summary>
    Authenticated = 3,
    /// <summary>The authentication has failed; the connection ends once that is answered.</summary>
    Failed = 4,
}

/// <summary>The answer to a message of an authentication.</summary>
/// <param name="Error">The error; <see cref="ErrorCode.None"/> where the authentication goes on or has succeeded.</param>
/// <param name="Message">What is wrong.</param>
/// <param name="Bytes">The server's message.</param>
/// <param name="Lifetime">How long the authentication is good for; zero: for ever.</param>
internal readonly record struct SaslAnswer(ErrorCode Error, string? Message, byte[] Bytes, TimeSpan Lifetime);

/// <summary>
/// The authentication of one connection (KIP-43, KIP-152, KIP-368). A client chooses a mechanism by a handshake, and sends the messages of
/// that mechanism. On an authenticated connection it may do so again, as the same principal by the same mechanism. For one caller at a
/// time; <see cref="IsDone"/> may be read by any thread.
/// </summary>
internal sealed class SaslSession : IDisposable
{
    private readonly GatewayServices _services;
    private readonly BrokerSecurity _security;
    private readonly string _client;
    private readonly ITimer _deadline;
    private SaslExchange? _exchange;
    private string? _mechanism;
    private string? _user;
    private DateTimeOffset? _expiresAt;
    // Null for a client that is no user of the broker.
    private long? _createdAt;
    private volatile bool _isDone;
    private int _isCounted;
    private bool _isFailureCounted;

    /// <param name="services">Users, options and clock.</param>
    /// <param name="security">The users.</param>
    /// <param name="client">The client's address.</param>
    /// <param name="cut">Ends the connection where the client takes too long.</param>
    public SaslSession(GatewayServices services, BrokerSecurity security, string client, Action cut)
    {
        (_services, _security, _client) = (services, security, client);
        _isCounted = services.Unauthenticated.TryEnter(client) ? 1 : 0;
        if (_isCounted == 0)
            Phase = SaslPhase.Failed;
        _deadline = services.Options.TimeProvider.CreateTimer(_ =>
        {
            if (Phase == SaslPhase.Authenticated)
                return;
            services.Unauthenticated.Failed(client, $"{services.Options.AuthenticationTimeout.TotalSeconds:0.#} s have passed.");
            cut();
        }, null, services.Options.AuthenticationTimeout, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Where the authentication is.</summary>
    public SaslPhase Phase { get; private set; } = SaslPhase.Initial;

    /// <summary>Whether the client has authenticated at least once.</summary>
    public bool IsDone => _isDone;

    /// <summary>Who the client is; null before it has authenticated.</summary>
    public string? Principal { get; private set; }

    /// <summary>Whether the client sends the mechanism's messages without a header of Kafka, as after the first version of the
    /// handshake.</summary>
    public bool TakesRawMessages { get; private set; }

    /// <summary>The mechanisms that are offered.</summary>
    public IReadOnlyList<string> Mechanisms => _security.Mechanisms;

    /// <summary>Returns why the connection may not send a request now; null where it may.</summary>
    public string? WhyNot(ApiKey key)
    {
        if (key is ApiKey.SaslHandshake or ApiKey.SaslAuthenticate || (key == ApiKey.ApiVersions && !_isDone))
            return null;
        if (Phase != SaslPhase.Authenticated)
            return $"{key} was sent before the authentication; this listener requires SASL";
        if (_expiresAt is { } end && _services.Options.TimeProvider.GetUtcNow() > end)
            return "the authentication has expired, and the client did not repeat it";
        return _createdAt is null || _security.CreatedAt(_user!) == _createdAt ? null : $"the user of {Principal} was deleted";
    }

    /// <summary>Chooses a mechanism.</summary>
    /// <param name="mechanism">Its name.</param>
    /// <param name="isRaw">Whether its messages follow without headers.</param>
    public ErrorCode Begin(string mechanism, bool isRaw)
    {
        // A client that asks for an unknown mechanism may choose another.
        if (Phase == SaslPhase.Exchanging || (Phase == SaslPhase.Authenticated && isRaw))
            return Fail("A handshake in the middle of an authentication.", ErrorCode.IllegalSaslState);
        if (SaslExchange.Begin(mechanism, _security, _client) is not { } exchange)
            return Fail($"The mechanism '{Shown(mechanism)}' is not offered.", ErrorCode.UnsupportedSaslMechanism);
        if (_isDone && mechanism != _mechanism)
            return Fail($"The mechanism changed from {_mechanism} to {mechanism}.", ErrorCode.IllegalSaslState);
        if (_isDone)
            _deadline.Change(_services.Options.AuthenticationTimeout, Timeout.InfiniteTimeSpan);
        (_exchange, _mechanism, TakesRawMessages, Phase) = (exchange, mechanism, isRaw, SaslPhase.Exchanging);
        return ErrorCode.None;
    }

    /// <summary>Handles a message of the mechanism.</summary>
    public async ValueTask<SaslAnswer> NextAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        if (Phase != SaslPhase.Exchanging)
            return Failed("A message of an authentication without a handshake.", ErrorCode.IllegalSaslState,
                "Send SaslHandshake first.");
        SaslStep step;
        try
        {
            step = await _exchange!.NextAsync(message, cancellationToken).ConfigureAwait(false);
        }
        catch (IOException unreachable)
        {
            // No refusal: the client tries again over another connection.
            Fail(unreachable.Message, ErrorCode.None);
            throw;
        }
        // A client may leave without acknowledging it.
        if (step.IsRefusal)
            CountFailure();
        if (step.Failure is { } failure || (step.Principal is { } principal && Principal is { } before && principal != before))
        {
            await Task.Delay(_services.Options.FailedAuthenticationDelay, _services.Options.TimeProvider, cancellationToken)
                .ConfigureAwait(false);
            return Failed($"Invalid credentials for {_mechanism}.", ErrorCode.SaslAuthenticationFailed, step.Failure
                ?? "Another principal authenticated on the same connection. Open a connection for each.");
        }
        return step.Principal is null ? new SaslAnswer(ErrorCode.None, null, step.Response, TimeSpan.Zero) : Succeed(step);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _deadline.Dispose();
        Leave();
    }

    private SaslAnswer Succeed(in SaslStep step)
    {
        (Principal, Phase, _exchange, TakesRawMessages) = (step.Principal, SaslPhase.Authenticated, null, false);
        _user = step.Principal!["User:".Length..];
        _createdAt = step.CreatedAt;
        var now = _services.Options.TimeProvider.GetUtcNow();
        _expiresAt = step.ExpiresAt;
        if (_services.Options.MaxReauthentication > TimeSpan.Zero
            && now + _services.Options.MaxReauthentication is var latest && (_expiresAt is null || latest < _expiresAt))
            _expiresAt = latest;
        _isDone = true;
        Leave();
        return new SaslAnswer(ErrorCode.None, null, step.Response, _expiresAt is { } end ? end - now : TimeSpan.Zero);
    }

    private SaslAnswer Failed(string line, ErrorCode error, string message)
    {
        Fail(line, error);
        return new SaslAnswer(error, message, [], TimeSpan.Zero);
    }

    private ErrorCode Fail(string line, ErrorCode error)
    {
        Phase = SaslPhase.Failed;
        if (error != ErrorCode.None)
            CountFailure();
        _services.Unauthenticated.Failed(_client, line);
        return error;
    }

    private void CountFailure()
    {
        if (_isFailureCounted)
            return;
        _isFailureCounted = true;
        _services.Access.Meter.Denials.Failed(SessionProtocol.Kafka);
    }

    private void Leave()
    {
        if (Interlocked.Exchange(ref _isCounted, 0) == 1)
            _services.Unauthenticated.Leave(_client);
    }

    private static string Shown(string text) =>
        new([.. text.Take(40).Select(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' ? c : '?')]);
}
