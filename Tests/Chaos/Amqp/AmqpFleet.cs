using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>The publishers and consumers, which connect to all brokers.</summary>
internal sealed class AmqpFleet
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(90);

    private readonly RunningCluster _cluster;
    private readonly List<AmqpClient> _publishers = [];
    private readonly List<AmqpClient> _consumers = [];

    public AmqpFleet(RunningCluster cluster, AmqpLoad load, AmqpHistory history, Action<string> refused)
    {
        _cluster = cluster;
        for (var i = 0; i < load.Publishers; i++)
            _publishers.Add(new AmqpPublisher(cluster, load, history, $"publisher-{i}", refused));
        foreach (var (queue, count) in load.Consumers)
        {
            for (var i = 0; i < count; i++)
                _consumers.Add(new AmqpConsumer(cluster, queue, isTransactional: i % 2 == 0, history, $"{queue}-{i}", refused));
        }
    }

    public void Start()
    {
        foreach (var (index, client) in _publishers.Concat(_consumers).Index())
            client.Start(index);
    }

    /// <summary>Cuts a client's connection, has it reconnect, or lets it rest.</summary>
    public void BreakOne(Random random)
    {
        AmqpClient[] all = [.. _publishers, .. _consumers];
        var client = all[random.Next(all.Length)];
        var rest = TimeSpan.FromSeconds(random.NextDouble() * 4);
        switch (random.Next(5))
        {
            case 0 or 1:
                _cluster.Log.Note($"{client.Name} is cut");
                client.Cut();
                break;
            case 2:
                _cluster.Log.Note($"{client.Name} reconnects");
                client.Reconnect();
                break;
            default:
                _cluster.Log.Note($"{client.Name} rests for {rest.TotalSeconds:0.0} s");
                client.Rest(rest);
                break;
        }
    }

    public Task StopPublishingAsync() => StopAsync(_publishers);

    public Task StopConsumingAsync() => StopAsync(_consumers);

    private static Task StopAsync(IEnumerable<AmqpClient> clients) =>
        Task.WhenAll(clients.Select(static client => client.StopAsync())).WaitAsync(StopPatience);
}
