using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Packages.Silos;

/// <summary>The package with Orleans streams, in a silo made from the template.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class StreamsTests(PackageFeed feed)
{
    private const string Usings = "using Microsoft.Extensions.DependencyInjection;\nusing Orleans.Streams;\n";

    private const string Grains = """

        public interface ICustomer : IGrainWithStringKey;

        [ImplicitStreamSubscription("orders")]
        public sealed class Customer : Grain, ICustomer
        {
            public override Task OnActivateAsync(CancellationToken cancellationToken) => this.GetStreamProvider("events")
                .GetStream<Order>("orders", this.GetPrimaryKeyString()).SubscribeAsync((order, token) =>
                {
                    Console.WriteLine($"{this.GetPrimaryKeyString()} ordered {order.Article} at {token}");
                    return Task.CompletedTask;
                });
        }

        public sealed record Order(string Article);
        """;

    [Fact]
    public async Task Silo_with_the_package_delivers_an_event_to_a_grain_of_its_application()
    {
        var (silo, gateway) = (FreePort.Choose(), FreePort.Choose());
        var program = await feed.CreateAsync("omq-silo", "Streaming", source => Usings + source
            .Replace(".UseLocalhostClustering()", $".UseLocalhostClustering({silo}, {gateway})", StringComparison.Ordinal)
            .Replace(".AddKafka()", ".AddOrleansMqStreams(\"events\"));", StringComparison.Ordinal)
            .Replace("    .AddHttp());", "", StringComparison.Ordinal)
            .Replace("builder.Build().Run();", """
                var host = builder.Build();
                await host.StartAsync();
                var provider = host.Services.GetRequiredKeyedService<IStreamProvider>("events");
                await provider.GetStream<Order>("orders", "customer-7").OnNextAsync(new Order("apples"));
                await host.WaitForShutdownAsync();
                """ + Grains, StringComparison.Ordinal), "OrleansMq.Orleans.Streams");
        await using var running = feed.Start("dotnet", [program], feed["Streaming"]);
        await running.LineAsync(static line => line.StartsWith("customer-7 ordered apples at ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Program_of_the_page_delivers_an_event_to_a_grain()
    {
        var (silo, gateway) = (FreePort.Choose(), FreePort.Choose());
        var page = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "Client/OrleansMq.Orleans.Streams/STREAMS.md"));
        const string Fence = "```csharp\n";
        var first = page[(page.IndexOf(Fence, StringComparison.Ordinal) + Fence.Length)..];
        var program = await feed.CreateAsync("omq-silo", "Billing", _ => first[..first.IndexOf("```", StringComparison.Ordinal)]
            .Replace(".UseLocalhostClustering()", $".UseLocalhostClustering({silo}, {gateway})", StringComparison.Ordinal),
            "OrleansMq.Orleans.Streams");
        await using var running = feed.Start("dotnet", [program], feed["Billing"]);
        await running.LineAsync(static line => line == "Billed two apples");
    }
}
