using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Tests.Client;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Client;

/// <summary>An Orleans client that starts before its cluster.</summary>
public sealed class ClientStartTests : IDisposable
{
    private readonly TempDirectory _data = new();
    private readonly RecordedLog _log = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Client_that_starts_before_its_silo_waits_for_it_and_says_so_without_a_stack()
    {
        var (siloPort, gatewayPort) = (FreePort.Choose(), FreePort.Choose());
        using var worker = Worker(gatewayPort);
        var starting = worker.StartAsync();
        await Wait.UntilAsync(() => _log.At(LogLevel.Warning).Count(static line =>
            line.Contains("Connection attempt", StringComparison.Ordinal)) > 1, "two attempts");
        Assert.False(starting.IsCompleted);
        var told = Assert.Single(_log.At(LogLevel.Warning), static line => line.Contains("No silo", StringComparison.Ordinal));
        Assert.Contains($"the start waits for one: Unable to connect to 127.0.0.1:{gatewayPort}: ConnectionRefused. ", told,
            StringComparison.Ordinal);
        Assert.DoesNotContain(_log.Lines, static line => line.StartsWith("   at ", StringComparison.Ordinal));

        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleans(silo => silo.UseLocalhostClustering(siloPort, gatewayPort)
            .AddOrleansMq(options => options with { DataDirectory = _data.Path, MinFreeBytes = 0 }));
        using var silo = builder.Build();
        await silo.StartAsync();
        await starting.WaitAsync(Wait.Deadline);

        await worker.Services.GetRequiredService<OrleansMqClient>().Admin.CreateTopicAsync("orders");
        await worker.StopAsync();
        await silo.StopAsync();
    }

    [Fact]
    public async Task Retries_of_the_service_itself_are_used()
    {
        using var worker = Worker(FreePort.Choose(), static client => client.UseConnectionRetryFilter(static (_, _) =>
            Task.FromResult(false)));
        await Assert.ThrowsAnyAsync<Exception>(() => worker.StartAsync().WaitAsync(Wait.Deadline));
        Assert.DoesNotContain(_log.Lines, static line => line.Contains("No silo", StringComparison.Ordinal));
    }

    private IHost Worker(int gatewayPort, Action<IClientBuilder>? configure = null)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders().AddProvider(_log);
        builder.UseOrleansClient(client =>
        {
            configure?.Invoke(client);
            client.UseLocalhostClustering(gatewayPort).AddOrleansMqClient();
        });
        return builder.Build();
    }
}
