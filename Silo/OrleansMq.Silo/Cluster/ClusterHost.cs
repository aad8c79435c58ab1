using OrleansMq.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Silo.Hosting;

namespace OrleansMq.Silo.Cluster;

/// <summary>
/// A silo of an Orleans cluster in this process; today a cluster of one, on the loopback address. The silo has a host of its own inside the
/// program's: so HTTP answers (that it is not ready) while the data directory recovers, and has ended its requests before the silo stops.
/// </summary>
/// <param name="options">The broker's engine.</param>
/// <param name="siloPort">For other silos; null for the usual one, or a free one where that is taken.</param>
/// <param name="gatewayPort">For Orleans clients; null for the usual one, or a free one where that is taken.</param>
internal sealed class ClusterHost(BrokerOptions options, int? siloPort, int? gatewayPort) : IBrokerHost
{
    private IHost? _silo;
    private SiloBroker? _broker;

    /// <inheritdoc/>
    public string Flavour => SiloBroker.Flavour;

    /// <inheritdoc/>
    public IReadOnlyCollection<Partition> LocalPartitions => _broker is { IsOpen: true } broker ? broker.Partitions.Partitions : [];

    /// <inheritdoc/>
    public void Configure(WebApplicationBuilder builder) { }

    /// <inheritdoc/>
    public async Task<IBroker> StartAsync(IServiceProvider services, CancellationToken cancellationToken)
    {
        var log = services.GetRequiredService<ILoggerFactory>();
        var ports = ClusterPorts.Choose(siloPort, gatewayPort);
        _silo = BuildSilo(log, ports);
        _broker = _silo.Services.GetRequiredService<SiloBroker>();
        // The silo would open it too, but would bury what is wrong with the directory under its own error.
        await _broker.OpenAsync(cancellationToken);
        await _silo.StartAsync(cancellationToken);
        log.CreateLogger("cluster").Listening(ports.Silo, ports.Gateway);
        return _silo.Services.GetRequiredService<IBroker>();
    }

    /// <summary>Stops the silo (its grains end their requests and deactivate), then closes the data directory.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_silo is { } silo)
        {
            await silo.StopAsync();
            await ((IAsyncDisposable)silo).DisposeAsync();
        }
        _silo = null;
    }

    private IHost BuildSilo(ILoggerFactory log, ClusterPorts ports)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Logging.AddProvider(new ForwardingLoggerProvider(log))
            .AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("Orleans", LogLevel.Warning)
            // It warns at every start that its own thread, which has only just begun, has been stuck since the machine booted.
            .AddFilter("Orleans.Runtime.Watchdog", LogLevel.Error)
            // It recommends a heap a core at every start: one heap is this program's choice.
            .AddFilter("Orleans.Runtime.Silo", LogLevel.Error);
        builder.Services.AddSingleton<IHostLifetime, NoSignals>();
        builder.UseOrleans(silo => silo.UseLocalhostClustering(ports.Silo, ports.Gateway).AddOrleansMq(_ => options));
        return builder.Build();
    }

    /// <summary>Signals are the program's: it stops this host when HTTP has drained.</summary>
    private sealed class NoSignals : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }

    /// <summary>Lets the silo's lines go where the program's go.</summary>
    private sealed class ForwardingLoggerProvider(ILoggerFactory log) : ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) => log.CreateLogger(categoryName);

        public void Dispose() { }
    }
}
