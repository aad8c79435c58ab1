using System.Diagnostics.Metrics;

namespace OrleansMq.Gateways.Connections;

/// <summary>The connections of one gateway, counted. Thread safe.</summary>
/// <param name="protocol">The protocol's name, such as <c>Kafka</c>; in lower case part of the instruments' names.</param>
internal sealed class ConnectionMetrics(string protocol)
{
    private long _open;
    private long _accepted;
    private long _closed;
    private long _refused;
    private long _malformed;
    private long _failedHandshakes;

    /// <summary>Connections that are open.</summary>
    public long Open => Interlocked.Read(ref _open);

    /// <summary>Connections that were accepted.</summary>
    public long TotalAccepted => Interlocked.Read(ref _accepted);

    /// <summary>Connections that ended.</summary>
    public long TotalClosed => Interlocked.Read(ref _closed);

    /// <summary>TLS handshakes that failed.</summary>
    public long TotalFailedHandshakes => Interlocked.Read(ref _failedHandshakes);

    /// <summary>Adds the instruments to a meter.</summary>
    public void AddTo(Meter meter)
    {
        var prefix = $"orleansmq.{protocol.ToLowerInvariant()}";
        meter.CreateObservableUpDownCounter($"{prefix}.connections", () => Open, "{connection}", $"{protocol} connections that are open.");
        meter.CreateObservableCounter($"{prefix}.connections.accepted", () => TotalAccepted, "{connection}",
            $"{protocol} connections that were accepted.");
        meter.CreateObservableCounter($"{prefix}.connections.refused", () => Interlocked.Read(ref _refused), "{connection}",
            $"{protocol} connections that were closed as they came: too many from one address, or too many that had not logged in.");
        meter.CreateObservableCounter($"{prefix}.requests.malformed", () => Interlocked.Read(ref _malformed), "{request}",
            $"{protocol} requests that could not be read; each closed its connection.");
        meter.CreateObservableCounter($"{prefix}.handshakes.failed", () => TotalFailedHandshakes, "{handshake}",
            $"TLS handshakes of {protocol} connections that failed.");
    }

    /// <summary>A connection was accepted.</summary>
    public void Accepted()
    {
        Interlocked.Increment(ref _open);
        Interlocked.Increment(ref _accepted);
    }

    /// <summary>A connection ended.</summary>
    public void Closed()
    {
        Interlocked.Decrement(ref _open);
        Interlocked.Increment(ref _closed);
    }

    /// <summary>A connection was closed since its address has too many.</summary>
    public void Refused() => Interlocked.Increment(ref _refused);

    /// <summary>A TLS handshake failed.</summary>
    public void HandshakeFailed() => Interlocked.Increment(ref _failedHandshakes);

    /// <summary>A request broke the protocol.</summary>
    public void Malformed() => Interlocked.Increment(ref _malformed);
}
