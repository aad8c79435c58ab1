using OrleansMq.Api;

namespace OrleansMq.Silo.Http;

/// <summary>What stands between the HTTP API and the broker: requests get in once it is open, and long polls get out when it
/// drains.</summary>
internal sealed class BrokerGate : IDisposable
{
    private readonly CancellationTokenSource _draining = new();
    private volatile IBroker? _broker;

    /// <summary>The broker.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: it is not open yet.</exception>
    public IBroker Broker => _broker
        ?? throw new BrokerException(ErrorCode.LeaderNotAvailable,
            "The broker is starting: it recovers its partitions. Retry in a moment; /readyz tells when.");

    /// <summary>Null while the broker serves, else why it does not.</summary>
    public string? NotReadyReason =>
        _draining.IsCancellationRequested ? "The broker is shutting down."
        : _broker is null ? "The broker is starting: it recovers its partitions."
        : null;

    /// <summary>Fires when the broker begins to stop: whoever waits for records or input answers at once.</summary>
    public CancellationToken Draining => _draining.Token;

    /// <summary>Lets requests in.</summary>
    public void Open(IBroker broker) => _broker = broker;

    /// <summary>Ends what waits; requests in flight go on.</summary>
    public void Drain() => _draining.Cancel();

    /// <inheritdoc/>
    public void Dispose() => _draining.Dispose();
}
