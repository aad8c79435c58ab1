using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Schedules;

public sealed class LocalScheduleConformanceTests : ScheduleConformance, IAsyncLifetime
{
    private LocalBroker? _broker;

    public async Task InitializeAsync() =>
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });

    public async Task DisposeAsync() => await _broker!.DisposeAsync();

    protected override ValueTask<IBroker> BrokerAsync() => new(_broker!.Access.Open(BrokerSession.InProcess).Broker);
}
