using System.Text.Json;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>A fixed number of consumers, each in its own process. A killed consumer is replaced.</summary>
internal sealed class ConsumerFleet(IReadOnlyList<Uri> addresses, string database, ConsumerGroupLoad load, RunLog log) : IAsyncDisposable
{
    private readonly List<ChaosConsumer> _all = [];
    private readonly List<ChaosConsumer> _living = [];

    /// <summary>The number of consumers killed.</summary>
    public int Kills => _all.Count - _living.Count;

    /// <summary>Failures of consumers that were neither killed nor stopped.</summary>
    public IEnumerable<string> Failures => _all.Select(consumer => consumer.Failure).OfType<string>();

    public void Start()
    {
        for (var i = 0; i < load.Consumers; i++)
            Add();
    }

    /// <summary>Kills one consumer with SIGKILL and starts a replacement.</summary>
    public async Task<string> KillOneAsync(int choice)
    {
        var victim = _living[choice % _living.Count];
        _living.Remove(victim);
        await victim.KillAsync();
        return $"{victim.Name} killed, {Add().Name} comes";
    }

    public Task StopAsync() => Task.WhenAll(_living.Select(consumer => consumer.StopAsync()));

    public async ValueTask DisposeAsync()
    {
        foreach (var consumer in _all)
            await consumer.DisposeAsync();
    }

    private ChaosConsumer Add()
    {
        var order = new ConsumerOrder($"consumer-{_all.Count + 1}", addresses, database, load);
        var consumer = new ChaosConsumer(order.Name, [JsonSerializer.Serialize(order)], line => log.Tell($"{order.Name}: {line}"));
        _all.Add(consumer);
        _living.Add(consumer);
        return consumer;
    }
}
