using System.Text.Json;
using OrleansMq.Tests.Chaos.Consumers;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>The consumers of the queues, each in its own process. One that is killed or stopped is replaced.</summary>
internal sealed class QueueFleet(RunningCluster cluster, QueueLoad load, QueueHistory history) : IAsyncDisposable
{
    private readonly List<ChaosConsumer> _all = [];
    private readonly List<(ChaosConsumer Consumer, string Queue)> _living = [];

    /// <summary>Failures of consumers that were neither killed nor stopped.</summary>
    public IEnumerable<string> Failures => _all.Select(consumer => consumer.Failure).OfType<string>();

    public void Start()
    {
        for (var i = 0; i < load.ConsumersPerQueue; i++)
        {
            foreach (var queue in QueueLoad.Queues)
                Add(queue);
        }
    }

    /// <summary>Kills one with SIGKILL, or stops one with SIGTERM, and starts another.</summary>
    public async Task ReplaceOneAsync(int choice, bool isKill)
    {
        var (victim, queue) = _living[choice % _living.Count];
        _living.RemoveAt(choice % _living.Count);
        cluster.Log.Tell($"{victim.Name} is {(isKill ? "killed" : "stopped")}");
        await (isKill ? victim.KillAsync() : victim.StopAsync());
        Add(queue);
    }

    /// <summary>Pauses one.</summary>
    public async Task PauseOneAsync(int choice, TimeSpan time, CancellationToken cancellationToken)
    {
        var (victim, _) = _living[choice % _living.Count];
        cluster.Log.Tell($"{victim.Name} is paused for {time.TotalSeconds:0.0} s");
        await victim.PauseAsync(time, cancellationToken);
    }

    public Task StopAsync() => Task.WhenAll(_living.Select(static living => living.Consumer.StopAsync()));

    public async ValueTask DisposeAsync()
    {
        foreach (var consumer in _all)
            await consumer.DisposeAsync();
    }

    private void Add(string queue)
    {
        var number = _all.Count + 1;
        // Some hold a record until it is settled, others for a time that some handlers exceed unless it is renewed. One in three is an
        // Orleans client.
        var order = new QueueConsumerOrder($"{queue}-{number}", cluster.Addresses, queue,
            number % 4 < 2 ? TimeSpan.Zero : TimeSpan.FromSeconds(2), load.SessionTimeout, number,
            number % 6 < 2 && cluster is LocalCluster local
                ? new OrleansAddress(cluster.Database.ConnectionString(), local.ClusterId) : null);
        var consumer = new ChaosConsumer(order.Name, [QueueConsumerProgram.Argument, JsonSerializer.Serialize(order)], line =>
        {
            if (QueueEvent.Parse(line) is { } seen)
                history.Take(seen);
            else
                cluster.Log.Note($"{order.Name}: {line}");
        });
        _all.Add(consumer);
        _living.Add((consumer, queue));
    }
}
