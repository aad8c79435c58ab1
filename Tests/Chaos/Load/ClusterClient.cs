using OrleansMq.Client;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>The load's access to a cluster: over HTTP, like an external service.</summary>
internal sealed class ClusterClient : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1),
        UseCookies = false }) { Timeout = Timeout.InfiniteTimeSpan };
    private readonly IReadOnlyList<Uri> _addresses;
    private readonly HttpBrokerOptions _options;

    /// <param name="addresses">The addresses of all brokers. A restarted broker keeps its address.</param>
    /// <param name="requestTimeout">How long to wait for an unresponsive broker.</param>
    public ClusterClient(IReadOnlyList<Uri> addresses, TimeSpan requestTimeout)
    {
        _addresses = addresses;
        _options = new HttpBrokerOptions { RequestTimeout = requestTimeout, RetryTimeout = TimeSpan.FromSeconds(60) };
        Broker = new HttpBroker(_http, addresses, _options);
        Patient = new HttpBroker(_http, addresses, _options with { RequestTimeout = TimeSpan.FromSeconds(60) });
    }

    /// <summary>A client with a long timeout for single requests while no fault is active, since the machine may be busy.</summary>
    public HttpBroker Patient { get; }

    /// <summary>A client of the whole cluster that fails over between brokers.</summary>
    public HttpBroker Broker { get; }

    /// <summary>A client of one random broker, without failover: for an append that must not wait for others.</summary>
    public HttpBroker Any() => new(_http, _addresses[Random.Shared.Next(_addresses.Count)], _options);

    public void Dispose()
    {
        Broker.Dispose();
        _http.Dispose();
    }
}
