using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OrleansMq.Access;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Security;

namespace OrleansMq.Client;

/// <summary>
/// Logs a process in at the brokers, and holds the tickets that its calls carry: each is good for the grain and the interface alone that is
/// called, where the brokers know sessions. The first login is part of the process's start, which
/// fails where the credentials are refused, and waits while no broker can tell. Later ones come in the background, before the ticket
/// expires, or at once where a call is refused for it. A ticket that could not be renewed fails calls here, with the reason. Thread safe.
/// </summary>
internal sealed partial class ClientLogin(OrleansLogin login, IServiceProvider services) : ITicketSource,
    ILifecycleParticipant<IClusterClientLifecycle>, ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    // The names of the mechanisms, and the largest wait after a failed one.
    private const string Plain = "PLAIN";
    private const string Bearer = "OAUTHBEARER";
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);
    // A login after a refusal that is as long ago does not delay the next one.
    private static readonly TimeSpan Forgotten = LongestPause * 2;

    private readonly ILogger _logger = services.GetRequiredService<ILoggerFactory>().CreateLogger("OrleansMq.Client.Orleans");
    private readonly TimeProvider _clock = services.GetService<TimeProvider>() ?? TimeProvider.System;
    private readonly CancellationTokenSource _stopped = new();
    private volatile Held? _held;
    private volatile BrokerException? _failure;
    private Task? _renewing;
    // The last login after a refusal, when it began, and how long the next one waits for from then on.
    private readonly Lock _gate = new();
    private Task<bool>? _again;
    private long _againSince;
    private TimeSpan _rest;

    /// <summary>The ticket of calls of a target that begin now; null before the first login, and where brokers ask for none.</summary>
    /// <exception cref="BrokerException">The login has expired, and could not be renewed.</exception>
    public byte[]? For(CallTarget target)
    {
        if (_held is not { } held || held.Answer.Ticket.Length == 0)
            return null;
        var elapsed = _clock.GetElapsedTime(held.Since);
        if (elapsed >= held.Answer.Life)
            throw Expired();
        return held.Proofs is { } proofs ? proofs.For(target, elapsed) : held.Answer.Ticket;
    }

    /// <inheritdoc/>
    public bool CanRenew => true;

    /// <inheritdoc/>
    /// <exception cref="BrokerException">The login has expired, and could not be renewed.</exception>
    public byte[]? For(IOutgoingGrainCallContext call) => For(new CallTarget(call.TargetId, call.Request.GetInterfaceType()));

    /// <inheritdoc/>
    /// <remarks>All calls that were refused with tickets of the same login share one login. The next one begins a second after it at the
    /// earliest, and later where that does not help either.</remarks>
    public async ValueTask<bool> RenewAsync(byte[] refused)
    {
        Task<bool> login;
        lock (_gate)
        {
            if (_held is { } held && !held.Made(refused))
                return _clock.GetElapsedTime(held.Since) < held.Answer.Life && held.Answer.Ticket.Length > 0;
            if (_again is not { IsCompleted: false })
            {
                var since = _again is null ? Forgotten : _clock.GetElapsedTime(_againSince);
                if (since < _rest || _stopped.IsCancellationRequested)
                    return false;
                _rest = since >= Forgotten ? Pause : _rest * 2 < LongestPause ? _rest * 2 : LongestPause;
                _againSince = _clock.GetTimestamp();
                // Of no call: what comes with one is not the login's.
                _again = Task.Run(TryRenewAsync, CancellationToken.None);
            }
            login = _again;
        }
        try
        {
            return await login.ConfigureAwait(false) && _held is { Answer.Ticket.Length: > 0 };
        }
        catch (OperationCanceledException)
        {
            // The process stops.
            return false;
        }
    }

    /// <inheritdoc/>
    // The client is connected by then. Providers that call grains in later stages do so as the user.
    public void Participate(IClusterClientLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ClientLogin), ServiceLifecycleStage.First, StartAsync, _ => StopAsync());

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        if (!IsBroker(services))
            lifecycle.Subscribe(nameof(ClientLogin), ServiceLifecycleStage.Active, StartAsync, _ => StopAsync());
    }

    /// <inheritdoc/>
    public void Dispose() => _stopped.Cancel();

    /// <summary>Whether a process is itself a broker, whose calls carry a broker's ticket.</summary>
    public static bool IsBroker(IServiceProvider services) =>
        services.GetService<IServiceProviderIsService>()?.IsService(typeof(BrokerAccess)) == true;

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                await LogInAsync(cancellationToken).ConfigureAwait(false);
                break;
            }
            catch (BrokerException waiting) when (waiting.Code.Action() == ErrorAction.Retry)
            {
                LogWaiting(_logger, waiting.Message);
                await Task.Delay(Pause, _clock, cancellationToken).ConfigureAwait(false);
            }
        }
        _renewing = Task.Run(RenewAsync, CancellationToken.None);
    }

    private async Task StopAsync()
    {
        await _stopped.CancelAsync().ConfigureAwait(false);
        if (_renewing is { } renewing)
            await renewing.ConfigureAwait(false);
    }

    private async Task RenewAsync()
    {
        try
        {
            var pause = Pause;
            while (true)
            {
                // A third of its life is left to try again.
                await Task.Delay(_failure is null ? _held!.Answer.Life * 2 / 3 : pause, _clock, _stopped.Token).ConfigureAwait(false);
                pause = await TryRenewAsync().ConfigureAwait(false) ? Pause : pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The process stops.
        }
    }

    private async Task<bool> TryRenewAsync()
    {
        try
        {
            await LogInAsync(_stopped.Token).ConfigureAwait(false);
            return true;
        }
        catch (Exception fault) when (!_stopped.IsCancellationRequested)
        {
            // Whatever it is, the next attempt may succeed; without one all calls fail once the ticket has expired.
            var failure = fault as BrokerException ?? new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"The login failed: {fault.Message}", fault);
            if (_failure is null || _failure.Code != failure.Code)
                LogNotRenewed(_logger, failure.Message);
            _failure = failure;
            return false;
        }
    }

    private async Task LogInAsync(CancellationToken cancellationToken)
    {
        var since = _clock.GetTimestamp();
        var answer = await AskAsync(cancellationToken).ConfigureAwait(false);
        if (answer.Life <= TimeSpan.Zero)
            throw new BrokerException(ErrorCode.SaslAuthenticationFailed, "The credentials have expired.");
        (_held, _failure) = (new Held(answer, since), null);
    }

    private async Task<LoginAnswer> AskAsync(CancellationToken cancellationToken)
    {
        var grains = services.GetRequiredService<IGrainFactory>();
        ILoginGrain grain;
        try
        {
            grain = grains.GetGrain<ILoginGrain>(GrainKeys.Cluster);
        }
        catch (ArgumentException unknown)
        {
            // Every broker has this one. Without any broker the login waits.
            _ = grains.GetBrokerGrain<IClusterGrain>(GrainKeys.Cluster);
            throw new BrokerException(ErrorCode.UnsupportedVersion,
                "No silo of the cluster has a grain to log in at: its brokers are of a version before.", unknown);
        }
        var (mechanism, message) = login.Token is { } token
            ? (Bearer, $"n,,\u0001auth=Bearer {await TokenAsync(token, cancellationToken).ConfigureAwait(false)}\u0001\u0001")
            : (Plain, $"\0{login.User}\0{login.Password}");
        return await GrainFaults.AnswerAsync("Logging in",
            grain.LogInAsync(mechanism, Encoding.UTF8.GetBytes(message), cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    // What the application's code throws is retried: an issuer of tokens may be away.
    private static async ValueTask<string> TokenAsync(Func<CancellationToken, ValueTask<string>> token, CancellationToken cancellationToken)
    {
        try
        {
            return await token(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception fault) when (!cancellationToken.IsCancellationRequested)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, $"There is no token to log in with: {fault.Message}", fault);
        }
    }

    private BrokerException Expired() => new(_failure?.Code ?? ErrorCode.CoordinatorNotAvailable,
        "The login of this client has expired, and could not be renewed: "
        + (_failure is { } failure ? failure.Message : "no broker has answered yet."), _failure);

    [LoggerMessage(2, LogLevel.Warning, "This client cannot log in yet, and the start waits: {Reason}")]
    private static partial void LogWaiting(ILogger logger, string reason);

    [LoggerMessage(3, LogLevel.Warning, "The login of this client could not be renewed. It is tried again until the ticket expires, and "
        + "afterwards: {Reason}")]
    private static partial void LogNotRenewed(ILogger logger, string reason);

    private sealed class Held(LoginAnswer answer, long since)
    {
        public LoginAnswer Answer => answer;

        public long Since => since;

        /// <summary>The tickets of each target; null where the brokers know no sessions.</summary>
        public ClientProofs? Proofs { get; } = answer is { Session: { } session, Secret: { } secret }
            ? new ClientProofs(new TicketSession(session, secret, answer.At)) : null;

        public bool Made(byte[] ticket) => Proofs is { } proofs ? proofs.Session.Made(ticket) : ReferenceEquals(answer.Ticket, ticket);
    }
}
