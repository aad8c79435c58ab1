using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Brokers;

public sealed class LocalBrokerOnMemoryTests : BrokerConformance, IAsyncLifetime
{
    private LocalBroker? _broker;

    public async Task InitializeAsync() =>
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });

    public async Task DisposeAsync() => await _broker!.DisposeAsync();

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker!);
}

public sealed class LocalBrokerOnDiskTests : BrokerConformance, IAsyncLifetime
{
    private readonly string _root = Directory.CreateTempSubdirectory("omq-broker-").FullName;
    private LocalBroker? _broker;

    public async Task InitializeAsync() =>
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = Path.Combine(_root, "data") });

    public async Task DisposeAsync()
    {
        await _broker!.DisposeAsync();
        Directory.Delete(_root, recursive: true);
    }

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker!);
}

public sealed class LocalTransactionTests : TransactionConformance, IAsyncLifetime
{
    private LocalBroker? _broker;

    public async Task InitializeAsync() =>
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });

    public async Task DisposeAsync() => await _broker!.DisposeAsync();

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker!);
}
