using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Groups;

public sealed class LocalGroupConformanceTests : GroupConformance, IAsyncLifetime
{
    private LocalBroker? _broker;

    public async Task InitializeAsync() =>
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });

    public async Task DisposeAsync() => await _broker!.DisposeAsync();

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker!);
}

public sealed class LocalGroupTransactionConformanceTests : GroupTransactionConformance, IAsyncLifetime
{
    private LocalBroker? _broker;

    public async Task InitializeAsync() =>
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });

    public async Task DisposeAsync() => await _broker!.DisposeAsync();

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker!);
}
