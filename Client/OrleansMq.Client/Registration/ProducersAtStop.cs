using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <summary>
/// Sends what the registered producers hold when the host stops. It starts before other hosted services and stops after them, since they
/// may send until they have stopped. Only the connection to the broker, which it needs, stops later.
/// </summary>
internal sealed partial class ProducersAtStop(ILogger logger) : IHostedService
{
    private readonly Lock _gate = new();
    private readonly List<Func<CancellationToken, Task>> _flushes = [];

    /// <summary>Registers the service once for a container, before the hosted services that are there.</summary>
    public static void AddTo(IServiceCollection services, Func<IServiceProvider, ProducersAtStop> create)
    {
        if (services.Any(static service => service.ServiceType == typeof(ProducersAtStop)))
            return;
        services.AddSingleton(create);
        services.Insert(0, ServiceDescriptor.Singleton<IHostedService>(
            static provider => provider.GetRequiredService<ProducersAtStop>()));
    }

    /// <summary>Adds a producer that the container has created.</summary>
    public IProducer<TKey, TValue> Add<TKey, TValue>(IProducer<TKey, TValue> producer)
    {
        lock (_gate)
            _flushes.Add(producer.FlushAsync);
        return producer;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Func<CancellationToken, Task>[] flushes;
        lock (_gate)
            flushes = [.. _flushes];
        try
        {
            await Task.WhenAll(flushes.Select(flush => flush(cancellationToken))).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            LogNotSent();
        }
    }

    [LoggerMessage(53, LogLevel.Warning, "The host stops before its producers have sent all records. Those that are left may fail. Raise "
        + "HostOptions.ShutdownTimeout.")]
    private partial void LogNotSent();
}
