using System.Data.Common;

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
            .AddFilter("Orleans.Runtime.Silo", LogLevel.Error)
            // Who comes and goes, and that this silo was declared dead, is told once, by broker.
            .AddFilter("Orleans.Runtime.MembershipService.MembershipTableManager", LogLevel.Critical);
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
        public ILogger CreateLogger(string categoryName) => categoryName.StartsWith("Orleans.", StringComparison.Ordinal)
            ? new OrleansLogger(log.CreateLogger(categoryName))
            : log.CreateLogger(categoryName);

        public void Dispose() { }
    }

    /// <summary>
    /// Orleans' lines, each without the stack of what went wrong outside this process: it warns with one for every probe and every
    /// connection that fails. And none about a database that does not answer: that is said once, not by each who asks it.
    /// </summary>
    private sealed class OrleansLogger(ILogger log) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => log.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => log.IsEnabled(logLevel);

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            if (exception is null || logLevel >= LogLevel.Error && !IsDatabaseAway(exception))
                log.Log(logLevel, eventId, state, exception, formatter);
            else if (!IsDatabaseAway(exception))
                log.Log(logLevel, eventId, state, null, (line, _) => $"{formatter(line, null)} | {exception.GetBaseException().Message}");
        }

        private static bool IsDatabaseAway(Exception? exception)
        {
            for (; exception is not null; exception = exception.InnerException)
            {
                // 57P: the server is told to stop, or starts.
                if (exception is DbException { IsTransient: true } or DbException { SqlState: ['5', '7', 'P', ..] })
                    return true;
            }
            return false;
        }
    }
}
