using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace OrleansMq.Tests.Cluster.Connections;

/// <summary>Orleans starts before the hosted services of the application, in whatever order they are registered. An Orleans release that
/// registers its own in another way fails here.</summary>
public sealed class HostedServiceOrderTests
{
    [Fact]
    public void Client_starts_before_a_hosted_service_that_was_registered_first()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddHostedService<Sender>();
        Assert.Equal("Orleans.ClusterClient", FirstStarted(builder.UseClient(static client => client.AddOrleansMqClient(), out _)));
    }

    [Fact]
    public void Silo_starts_before_a_hosted_service_that_was_registered_first()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddHostedService<Sender>();
        Assert.Equal("Orleans.Hosting.SiloHostedService", FirstStarted(builder.UseSilo(static silo => silo.AddOrleansMq(), out _)));
    }

    private static string FirstStarted(HostApplicationBuilder builder)
    {
        using var host = builder.Build();
        var services = host.Services.GetServices<IHostedService>().ToList();
        Assert.Contains(services, static service => service is Sender);
        return services[0].GetType().FullName!;
    }

    private sealed class Sender : BackgroundService
    {
        protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.CompletedTask;
    }
}
