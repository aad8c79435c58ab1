using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>The topic's configuration as far as it concerns replication. An image of a higher version is newer.</summary>
internal sealed record SimulatedConfig(int Version, int MinInsync, bool Sync);

// The topic's configuration. In some runs an operator changes it, and each broker follows at its own time.
internal sealed partial class Cluster
{
    private const int ConfigSpreadMs = 300;

    // In some runs brokers learn of the topic's configuration a while after their start, as with a database that answers late.
    private readonly bool _learnsConfigLate;
    private SimulatedConfig _config;

    private LeaderOptions OptionsOf(SimulatedBroker broker) => _options with { MinInsyncReplicas = broker.Config?.MinInsync };

    private void ChangeConfig()
    {
        var (lowersOrRaises, changesPolicy) = (Chance(60), Chance(60));
        _config = new SimulatedConfig(_config.Version + 1, lowersOrRaises ? 3 - _config.MinInsync : _config.MinInsync,
            changesPolicy ? !_config.Sync : _config.Sync);
        if (Trace is not null)
            Tell($"the configuration becomes min.insync {_config.MinInsync}, {(_config.Sync ? "sync" : "none")}");
        Figures.ConfigChanges++;
        Array.ForEach(_brokers, LearnConfig);
    }

    /// <summary>Returns the configuration that a process starts with: none, the last that its broker knew, or the current one.</summary>
    private SimulatedConfig? ConfigAtStart(SimulatedBroker broker) =>
        _learnsConfigLate ? null : Scenario.MayChangeConfig && Chance(50) ? broker.Config ?? _config : _config;

    /// <summary>The current configuration reaches a broker.</summary>
    private void LearnConfig(SimulatedBroker broker)
    {
        var config = _config;
        AfterOn(broker, _random.Next(ConfigSpreadMs), () =>
        {
            if (broker.Config?.Version > config.Version)
                return;
            if (Trace is not null)
                Tell($"{broker.Id} follows min.insync {config.MinInsync}, {(config.Sync ? "sync" : "none")}");
            broker.Follow(config);
            broker.Leader?.Follow(OptionsOf(broker));
        });
    }
}
