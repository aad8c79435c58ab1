using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Client;

/// <summary>A broker over HTTP meets the contract of every broker.</summary>
public sealed class HttpBrokerConformanceTests(RunningBroker running) : BrokerConformance, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address));

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker);

    public void Dispose() => _broker.Dispose();
}

/// <summary>Groups over HTTP meet the contract of every broker's groups.</summary>
public sealed class HttpGroupConformanceTests(RunningBroker running) : GroupConformance, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address));

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker);

    public void Dispose() => _broker.Dispose();
}

/// <summary>Transactions over HTTP meet the contract of every broker's transactions.</summary>
public sealed class HttpTransactionConformanceTests(RunningBroker running)
    : TransactionConformance, IClassFixture<RunningBroker>, IDisposable
{
    // The broker sets the caller, by the name of the client and its address.
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address), new HttpBrokerOptions { ClientName = "ops" });

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker);

    public void Dispose() => _broker.Dispose();
}

/// <summary>Queues over HTTP meet the contract of every broker's queues.</summary>
public sealed class HttpQueueConformanceTests(RunningBroker running) : QueueConformance, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address));

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker);

    // Each has a connection of its own.
    protected override bool KeepsOrder => false;

    public void Dispose() => _broker.Dispose();
}

/// <summary>Schedules over HTTP meet the contract of every broker's schedules.</summary>
public sealed class HttpScheduleConformanceTests(RunningBroker running) : ScheduleConformance, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(running.Server.Address));

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker);

    public void Dispose() => _broker.Dispose();
}
