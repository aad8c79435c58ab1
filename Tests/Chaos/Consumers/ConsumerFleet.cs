using OrleansMq.Brokers;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>Always so many consumers: for each that is killed another one comes.</summary>
internal sealed class ConsumerFleet(IBroker broker, ConsumerGroupLoad load, InboxProcessing processing)
{
    private readonly List<ChaosConsumer> _all = [];
    private readonly List<ChaosConsumer> _living = [];

    /// <summary>How many were killed.</summary>
    public int Kills => _all.Count - _living.Count;

    /// <summary>What a consumer failed of, that was neither killed nor stopped.</summary>
    public IEnumerable<string> Failures => _all.Where(consumer => consumer.Failure is not null).Select(consumer => $"{consumer.Name}: {consumer.Failure}");

    public void Start()
    {
        for (var i = 0; i < load.Consumers; i++)
            Add();
    }

    /// <summary>Kills one, and starts another in its place.</summary>
    public string KillOne(int choice)
    {
        var victim = _living[choice % _living.Count];
        victim.Kill();
        _living.Remove(victim);
        return $"{victim.Name} killed after {victim.Processed} records, {Add().Name} comes";
    }

    public Task StopAsync() => Task.WhenAll(_living.Select(consumer => consumer.StopAsync()));

    private ChaosConsumer Add()
    {
        var consumer = new ChaosConsumer($"consumer-{_all.Count + 1}", broker, load.Group, load, processing);
        _all.Add(consumer);
        _living.Add(consumer);
        consumer.Start();
        return consumer;
    }
}
