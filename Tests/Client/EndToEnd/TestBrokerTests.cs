using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>The client over an in-memory broker in the test's own process.</summary>
public sealed class TestBrokerInMemoryTests : ClientEndToEnd, IAsyncLifetime
{
    private TestBroker _broker = null!;

    protected override OrleansMqClient Client => _broker.Client;

    public async Task InitializeAsync() => _broker = await TestBroker.StartAsync();

    public async Task DisposeAsync() => await _broker.DisposeAsync();
}

/// <summary>The client over a broker on disk in the test's own process, and the features of the test broker.</summary>
public sealed class TestBrokerOnDiskTests : ClientEndToEnd, IAsyncLifetime
{
    private TestBroker _broker = null!;

    protected override OrleansMqClient Client => _broker.Client;

    public async Task InitializeAsync() => _broker = await TestBroker.StartAsync(new TestBrokerOptions { InMemory = false });

    public async Task DisposeAsync()
    {
        await _broker.DisposeAsync();
        Assert.False(Directory.Exists(_broker.DataDirectory));
    }

    [Fact]
    public async Task Records_survive_a_restart()
    {
        await Client.Admin.CreateTopicAsync("kept");
        await using (var producer = Client.CreateProducer<Ignore, string>())
            await producer.SendAsync(new("kept", default, "still here"));
        Assert.True(Directory.Exists(_broker.DataDirectory));

        await _broker.RestartAsync();

        await using var reader = Client.CreatePartitionReader<Ignore, string>();
        reader.Assign(new TopicPartition("kept", 0), ReadFrom.Earliest);
        Assert.Equal("still here", (await reader.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task Test_clock_stamps_the_records()
    {
        var clock = new ManualTimeProvider(new DateTimeOffset(2030, 5, 6, 7, 8, 9, TimeSpan.Zero));
        await using var broker = await TestBroker.StartAsync(new TestBrokerOptions { TimeProvider = clock });
        await broker.Client.Admin.CreateTopicAsync("clocked");
        await using var producer = broker.Client.CreateProducer<Ignore, string>();

        var report = await producer.SendAsync(new("clocked", default, "now")).SoonAsync();

        Assert.Equal(clock.GetUtcNow().ToUnixTimeMilliseconds(), report.Timestamp);
    }
}
