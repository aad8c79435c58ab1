using OrleansMq.Client.Http;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>How the load reaches a cluster: over HTTP, as a service outside of it.</summary>
internal sealed class ClusterClient : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1),
        UseCookies = false }) { Timeout = Timeout.InfiniteTimeSpan };
    private readonly IReadOnlyList<Uri> _addresses;
    private readonly HttpBrokerOptions _options;

    /// <param name="addresses">Of all brokers. One that is started again listens where it did.</param>
    /// <param name="requestTimeout">For how long to wait for one that does not answer.</param>
    public ClusterClient(IReadOnlyList<Uri> addresses, TimeSpan requestTimeout)
    {
        _addresses = addresses;
        _options = new HttpBrokerOptions { RequestTimeout = requestTimeout, RetryTimeout = TimeSpan.FromSeconds(60) };
        Broker = new HttpBroker(_http, addresses, _options);
        Patient = new HttpBroker(_http, addresses, _options with { RequestTimeout = TimeSpan.FromSeconds(60) });
    }

    /// <summary>The cluster for what is asked once, while nothing is broken; on a machine that has much to do.</summary>
    public HttpBroker Patient { get; }

    /// <summary>The cluster by way of whichever of its brokers answers.</summary>
    public HttpBroker Broker { get; }

    /// <summary>One of the brokers, without a try at another: for a single append that is not to wait for others.</summary>
    public HttpBroker Any() => new(_http, _addresses[Random.Shared.Next(_addresses.Count)], _options);

    public void Dispose()
    {
        Broker.Dispose();
        _http.Dispose();
    }
}
