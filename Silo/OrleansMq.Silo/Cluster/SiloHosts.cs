namespace OrleansMq.Silo.Cluster;

/// <summary>Makes the host of a silo inside the program's own.</summary>
internal static class SiloHosts
{
    /// <summary>A host whose lines go where the program's go, and which leaves signals to the program.</summary>
    public static IHost Build(ILoggerFactory log, Action<ISiloBuilder> configure)
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
        builder.UseOrleans(configure);
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
