using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Silo.Client;

public class RegistrationTests
{
    [Fact]
    public async Task Registered_broker_is_used_and_producers_are_drained_with_the_container()
    {
        await using var broker = await TestBroker.StartAsync();
        await broker.Client.Admin.CreateTopicAsync("t");
        var services = new ServiceCollection();
        services.AddSingleton<IBroker>(broker.Broker);
        services.AddOrleansMqClient(options => options.Producer = options.Producer with { Linger = TimeSpan.FromMinutes(1) })
            .AddProducer<Ignore, string>();
        await using (var provider = services.BuildServiceProvider())
        {
            provider.GetRequiredService<IProducer<Ignore, string>>().Send(new("t", default, "lingering"));
            Assert.Same(provider.GetRequiredService<OrleansMqClient>().Admin, provider.GetRequiredService<IAdmin>());
        }

        await using var reader = broker.Client.CreatePartitionReader<Ignore, string>();
        reader.Assign(new TopicPartition("t", 0), ReadFrom.Earliest);
        Assert.Equal("lingering", (await reader.ReadAsync().AsTask().WaitAsync(RunningBroker.Patience)).Value);
    }

    [Fact]
    public async Task Last_registration_of_a_broker_or_http_address_wins()
    {
        await using var test = await TestBroker.StartAsync();
        var broker = test.Broker;
        using var http = new ServiceCollection().AddOrleansMqClient().UseBroker(broker)
            .UseHttp(new Uri("http://127.0.0.1:1")).Services.BuildServiceProvider();
        using var local = new ServiceCollection().AddOrleansMqClient().UseHttp(new Uri("http://127.0.0.1:1"))
            .UseBroker(broker).Services.BuildServiceProvider();

        Assert.IsType<HttpBroker>(http.GetRequiredService<OrleansMqClient>().Broker);
        Assert.Same(broker, local.GetRequiredService<OrleansMqClient>().Broker);
    }

    [Fact]
    public void Missing_broker_error_says_what_to_add()
    {
        using var provider = new ServiceCollection().AddOrleansMqClient().Services.BuildServiceProvider();

        Assert.Contains("UseHttp", Assert.Throws<InvalidOperationException>(provider.GetRequiredService<OrleansMqClient>).Message,
            StringComparison.Ordinal);
    }
}
