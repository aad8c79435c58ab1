using OrleansMq.Client;
using OrleansMq.Tests.Client.EndToEnd;
using OrleansMq.Tests.Cluster.Brokers;

namespace OrleansMq.Tests.Cluster.Client;

/// <summary>The client's transactions over an Orleans client.</summary>
public sealed class ClientTransactionTests(SiloFixture fixture) : TransactionEndToEnd, IClassFixture<SiloFixture>
{
    protected override OrleansMqClient Client { get; } = new(fixture.Silo.Outside);
}

/// <summary>The client's transactions in a silo, as a grain uses them.</summary>
public sealed class ClientTransactionsInsideTheSiloTests(SiloFixture fixture) : TransactionEndToEnd, IClassFixture<SiloFixture>
{
    protected override OrleansMqClient Client { get; } = new(fixture.Silo.Inside);
}
