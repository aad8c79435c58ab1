namespace OrleansMq.Client.Http;

/// <summary>How a broker is reached over HTTP.</summary>
public sealed record HttpBrokerOptions
{
    /// <summary>
    /// How long one request may take, on top of the time a read was asked to wait: 30 seconds by default, above 0. Afterwards its outcome
    /// is unknown (<see cref="ErrorCode.RequestTimedOut"/>).
    /// </summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// For how long a request of the administration is sent again that was certainly not done, or that changes nothing and may succeed
    /// later: zero by default, which asks every address once. Producers and readers retry by themselves, within their own deadlines.
    /// </summary>
    public TimeSpan RetryTimeout { get; init; }

    /// <summary>How long to wait for a connection: 5 seconds by default, above 0.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Connections to the broker at most, 256 by default: a read that waits holds one, and so does each batch on its way.
    /// </summary>
    public int MaxConnections { get; init; } = 256;

    /// <summary>Where time limits take their time from.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}
