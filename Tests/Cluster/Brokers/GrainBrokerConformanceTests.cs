using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Brokers;

/// <summary>One silo for all tests of a class.</summary>
public sealed class SiloFixture : IAsyncLifetime
{
    private readonly TempDirectory _data = new();

    internal TestSilo Silo { get; private set; } = null!;

    public async Task InitializeAsync() => Silo = await TestSilo.StartAsync(_data.Path);

    public async Task DisposeAsync()
    {
        await Silo.DisposeAsync();
        _data.Dispose();
    }
}

/// <summary>The broker API on the silo that leads the partitions: it calls the engine directly.</summary>
public sealed class BrokerInsideTheSiloTests(SiloFixture fixture) : BrokerConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Inside);
}

/// <summary>The broker API of an Orleans client: every operation is a grain call.</summary>
public sealed class BrokerOutsideTheSiloTests(SiloFixture fixture) : BrokerConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Outside);
}

/// <summary>Transactions on the silo that leads the partitions.</summary>
public sealed class TransactionsInsideTheSiloTests(SiloFixture fixture) : TransactionConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Inside);
}

/// <summary>Transactions of an Orleans client.</summary>
public sealed class TransactionsOutsideTheSiloTests(SiloFixture fixture) : TransactionConformance, IClassFixture<SiloFixture>
{
    protected override ValueTask<IBroker> BrokerAsync() => new(fixture.Silo.Outside);
}
