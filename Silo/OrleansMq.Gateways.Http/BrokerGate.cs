using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Http;

/// <summary>Controls the HTTP API's access to the broker: requests enter once it is open, and long polls end when it drains.</summary>
internal sealed class BrokerGate : IDisposable
{
    private readonly CancellationTokenSource _draining = new();
    private volatile IBroker? _broker;
    private volatile BrokerAccess? _access;

    /// <summary>The broker itself, for what the program looks up on its own behalf. Requests use <see cref="Access"/>.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: it is not open yet.</exception>
    public IBroker Own => _broker ?? throw Starting();

    /// <summary>The door to the broker.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: it is not open yet.</exception>
    public BrokerAccess Access => _access ?? throw Starting();

    /// <summary>Whether the broker is open, and a quota limits some client.</summary>
    public bool HasQuotas => _access?.Quotas is { Image: not null };

    /// <summary>Users and rules; null before the broker is open, and for a broker without them.</summary>
    public BrokerSecurity? Security { get; private set; }

    /// <summary>The tickets of grain calls; null before the broker is open, and for a broker without them.</summary>
    public BrokerTickets? Tickets { get; private set; }

    /// <summary>Null while the broker serves requests, else why it does not.</summary>
    public string? NotReadyReason =>
        _draining.IsCancellationRequested ? "The broker is shutting down."
        : _access is null ? "The broker is starting: it recovers its partitions."
        : null;

    /// <summary>Cancelled when the broker begins to stop, so that requests waiting for records or input answer at once.</summary>
    public CancellationToken Draining => _draining.Token;

    /// <summary>Admits requests.</summary>
    /// <param name="broker">The broker itself.</param>
    /// <param name="access">The door to it.</param>
    /// <param name="security">Users and rules.</param>
    /// <param name="tickets">The tickets of grain calls.</param>
    public void Open(IBroker broker, BrokerAccess access, BrokerSecurity? security = null, BrokerTickets? tickets = null) =>
        (Security, Tickets, _broker, _access) = (security, tickets, broker, access);

    /// <summary>Ends waits; requests in flight continue.</summary>
    public void Drain() => _draining.Cancel();

    /// <inheritdoc/>
    public void Dispose() => _draining.Dispose();

    private static BrokerException Starting() => new(ErrorCode.LeaderNotAvailable,
        "The broker is starting: it recovers its partitions. Retry in a moment; /readyz tells when.");
}
