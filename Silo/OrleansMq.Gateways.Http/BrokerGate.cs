using OrleansMq.Api;

namespace OrleansMq.Gateways.Http;

/// <summary>Controls the HTTP API's access to the broker: requests enter once it is open, and long polls end when it drains.</summary>
internal sealed class BrokerGate : IDisposable
{
    private readonly CancellationTokenSource _draining = new();
    private volatile IBroker? _broker;

    /// <summary>The broker.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: it is not open yet.</exception>
    public IBroker Broker => _broker
        ?? throw new BrokerException(ErrorCode.LeaderNotAvailable,
            "The broker is starting: it recovers its partitions. Retry in a moment; /readyz tells when.");

    /// <summary>Null while the broker serves requests, else why it does not.</summary>
    public string? NotReadyReason =>
        _draining.IsCancellationRequested ? "The broker is shutting down."
        : _broker is null ? "The broker is starting: it recovers its partitions."
        : null;

    /// <summary>Cancelled when the broker begins to stop, so that requests waiting for records or input answer at once.</summary>
    public CancellationToken Draining => _draining.Token;

    /// <summary>Admits requests.</summary>
    public void Open(IBroker broker) => _broker = broker;

    /// <summary>Ends waits; requests in flight continue.</summary>
    public void Drain() => _draining.Cancel();

    /// <inheritdoc/>
    public void Dispose() => _draining.Dispose();
}
