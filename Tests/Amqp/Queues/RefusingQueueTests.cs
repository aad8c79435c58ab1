using System.Globalization;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using FieldTable = OrleansMq.VirtualHosts.FieldTable;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Queues on the log that refuse publishes where they are full.</summary>
public sealed class RefusingQueueTests : IAsyncLifetime, IDeadLetters
{
    private const int Count = 20;

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-refusing").FullName;
    private LocalBroker _broker = null!;

    public async Task InitializeAsync() => _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _directory });

    public async Task DisposeAsync()
    {
        await _broker.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Messages_keep_their_order_where_the_leader_changes()
    {
        var calls = 0;
        var broker = new ScriptedBroker(_broker)
        {
            // The first publish still goes to the leader that was.
            Produce = (_, produce) => Interlocked.Increment(ref calls) == 1
                ? new(ProduceResult.Failed(ErrorCode.NotLeaderOrFollower, "Another broker leads.")) : produce(),
        };
        var state = new QueueState
        {
            Name = "q",
            Id = 1,
            Durable = true,
            Arguments = FieldTable.Of(("x-max-length", new IntegerValue(1000)), ("x-overflow", new TextValue("reject-publish"))),
        };
        await using var queue = await LogQueue.OpenAsync(broker, "/", state, PolicySet.Empty.SettingsOf(state), this, TimeProvider.System,
            EngineLog.Silent, static () => new(true));
        var published = Enumerable.Range(0, Count).Select(i => queue.PublishAsync(Message($"{i}"))).ToArray();
        Assert.All(await Task.WhenAll(published), static outcome => Assert.Equal(PublishOutcome.Accepted, outcome));
        await using var reader = await queue.AttachAsync(0);
        var bodies = new List<string>();
        while (bodies.Count < Count)
        {
            var some = await reader.ReceiveAsync(Count, TimeSpan.FromSeconds(30), CancellationToken.None);
            Assert.NotEmpty(some);
            foreach (var held in some)
                bodies.Add(Encoding.UTF8.GetString(held.Message.Body.Span));
        }
        Assert.Equal(Enumerable.Range(0, Count).Select(static i => i.ToString(CultureInfo.InvariantCulture)), bodies);
    }

    Task<bool> IDeadLetters.PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
        HashSet<long>? stored) => throw new InvalidOperationException("no message dies here");

    private static AmqpMessage Message(string body) => new("", "q", ContentProperties.None, Encoding.UTF8.GetBytes(body), 0);
}
