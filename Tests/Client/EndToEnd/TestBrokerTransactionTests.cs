using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>The client's transactions over an in-memory broker in the test's own process.</summary>
public sealed class TestBrokerTransactionTests : TransactionEndToEnd, IAsyncLifetime
{
    private TestBroker _broker = null!;

    protected override OrleansMqClient Client => _broker.Client;

    public async Task InitializeAsync() => _broker = await TestBroker.StartAsync();

    public async Task DisposeAsync() => await _broker.DisposeAsync();
}
