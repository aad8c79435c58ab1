using System.Diagnostics.Metrics;
using System.Net;

namespace OrleansMq.Hosting;

/// <summary>
/// A door of a broker: it listens for clients of one protocol, and serves them from the broker API. The host calls
/// <see cref="ListenAsync"/>, <see cref="Open"/>, <see cref="Drain"/>, <see cref="StopAsync"/> and dispose in this order, once each. Where
/// the start fails it skips to the last two.
/// </summary>
public interface IGateway : IAsyncDisposable
{
    /// <summary>The protocol's name in lower case, such as <c>kafka</c>: the name of its setting and its key in the ready line.</summary>
    string Name { get; }

    /// <summary>The protocol's name in messages, such as <c>Kafka</c>.</summary>
    string Protocol { get; }

    /// <summary>The endpoint that it listens on, with the port that was taken; before <see cref="ListenAsync"/> the configured
    /// one.</summary>
    IPEndPoint EndPoint { get; }

    /// <summary>The address for clients: <c>host:port</c>, or a URL.</summary>
    string Address => EndPoint.ToString();

    /// <summary>The meter that it reports to its clients; null where it reports none.</summary>
    Meter? Meter => null;

    /// <summary>Adds its instruments to a meter that another gateway reports. Called before <see cref="ListenAsync"/>.</summary>
    void AddMetrics(Meter meter);

    /// <summary>Takes the port. Clients that connect wait, or learn that the broker starts, until <see cref="Open"/>.</summary>
    /// <exception cref="System.Net.Sockets.SocketException">The port is in use, or the address is not one of this machine; also as an inner
    /// exception.</exception>
    Task ListenAsync(CancellationToken cancellationToken);

    /// <summary>Serves from now on.</summary>
    void Open(HostedBroker broker);

    /// <summary>Begins to stop: long polls end, and no further requests are taken where the protocol allows that.</summary>
    void Drain();

    /// <summary>Stops listening, and returns once every connection has ended. Requests in flight are answered.</summary>
    /// <param name="deadline">Cuts what is left.</param>
    Task StopAsync(CancellationToken deadline);
}
