using System.Data.Common;
using OrleansMq.Gateways;

namespace OrleansMq.Silo.Cluster;

/// <summary>Builds the host of a silo inside the program's own.</summary>
internal static class SiloHosts
{
    /// <summary>Builds a host that logs through the program's log and leaves signals to the program.</summary>
    public static IHost Build(ILoggerFactory log, Action<ISiloBuilder> configure)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Logging.AddProvider(new ForwardingLoggerProvider(log))
            .AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("Orleans", LogLevel.Warning)
            // Orleans retries by it, and it tells each placement of a grain.
            .AddFilter("Polly", LogLevel.Warning)
            // It warns at every start that its thread, which has just begun, has been stuck since the machine booted.
            .AddFilter("Orleans.Runtime.Watchdog", LogLevel.Error)
            // It recommends one heap per core at every start; this program chooses one heap.
            .AddFilter("Orleans.Runtime.Silo", LogLevel.Error)
            // Members that come and go, and this silo's own death, are logged once elsewhere, by broker.
            .AddFilter("Orleans.Runtime.MembershipService.MembershipTableManager", LogLevel.Critical);
        // The program stops this host after HTTP has drained.
        builder.Services.AddSingleton<IHostLifetime, IgnoredSignals>();
        builder.UseOrleans(configure);
        return builder.Build();
    }

    /// <summary>Forwards the silo's lines to the program's log.</summary>
    private sealed class ForwardingLoggerProvider(ILoggerFactory log) : ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) => categoryName.StartsWith("Orleans.", StringComparison.Ordinal)
            ? new OrleansLogger(log.CreateLogger(categoryName))
            : log.CreateLogger(categoryName);

        public void Dispose() { }
    }

    /// <summary>
    /// Forwards Orleans' lines, without the stack traces of failures outside this process: Orleans logs one for every failed probe and
    /// connection. It drops lines about a database that does not answer, since <see cref="OrleansMq.Grains.Hosting.DatabaseWatch"/> logs
    /// that once.
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
                // 57P: the server is shutting down or starting.
                if (exception is DbException { IsTransient: true } or DbException { SqlState: ['5', '7', 'P', ..] })
                    return true;
            }
            return false;
        }
    }
}
