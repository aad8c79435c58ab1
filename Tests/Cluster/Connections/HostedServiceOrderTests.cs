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

    [Fact]
    public void Producers_of_a_client_stop_after_the_application_and_before_Orleans()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddHostedService<Sender>();
        Assert.Equal(["ClusterClient", "ProducersAtStop", "Sender"],
            Started(builder.UseClient(static client => client.AddOrleansMqClient().AddProducer<string, string>(), out _)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Producers_of_a_silo_stop_after_the_application_and_before_Orleans(bool isBrokerFirst)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddHostedService<Sender>();
        var started = Started(builder.UseSilo(silo =>
        {
            if (isBrokerFirst)
                silo.AddOrleansMq();
            silo.AddOrleansMqClient().AddProducer<string, string>();
            if (!isBrokerFirst)
                silo.AddOrleansMq();
        }, out _));
        Assert.Equal("SiloHostedService", started[0]);
        Assert.Equal(["ProducersAtStop", "Sender"], started.Where(static name => name is "ProducersAtStop" or "Sender"));
    }

    private static List<string> Started(HostApplicationBuilder builder)
    {
        using var host = builder.Build();
        return [.. host.Services.GetServices<IHostedService>().Select(static service => service.GetType().Name)];
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
