using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>The API of a broker that has no queues.</summary>
public sealed class NoQueuesTests : IAsyncLifetime
{
    private readonly RunningBroker _broker = new() { Engine = static broker => new WithoutQueues(broker) };

    public Task InitializeAsync() => _broker.InitializeAsync();

    public Task DisposeAsync() => _broker.DisposeAsync();

    [Fact]
    public async Task Broker_without_queues_says_so()
    {
        var topic = await _broker.CreateTopicAsync();
        using var created = await _broker.Http.PutAsync($"/api/queues/{topic}/0/mails", null);
        await RunningBroker.AssertProblemAsync(created, 400, ErrorCode.UnsupportedVersion, "no queues", "earlier version");
        using var received = await _broker.Http.PostAsync($"/api/queue-consumers/{topic}/0/{Guid.NewGuid()}/receive", null);
        await RunningBroker.AssertProblemAsync(received, 400, ErrorCode.UnsupportedVersion, "no queues");
    }

    private sealed class WithoutQueues(IBroker inner) : ForwardingBroker(inner)
    {
        public override IQueues Queues => NoQueues.Instance;
    }
}
