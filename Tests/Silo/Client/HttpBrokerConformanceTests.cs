using OrleansMq.Api;
using OrleansMq.Client.Http;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Client;

/// <summary>A broker reached over HTTP does what every broker must do.</summary>
public sealed class HttpBrokerConformanceTests(RunningBroker running) : BrokerConformance, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address));

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker);

    public void Dispose() => _broker.Dispose();
}

/// <summary>Groups over HTTP do what groups of every broker must do.</summary>
public sealed class HttpGroupConformanceTests(RunningBroker running) : GroupConformance, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address));

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker);

    public void Dispose() => _broker.Dispose();
}
