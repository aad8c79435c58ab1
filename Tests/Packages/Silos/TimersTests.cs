using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Packages.Silos;

/// <summary>The package with durable timers, in a silo made from the template with the program of the package's page.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class TimersTests(PackageFeed feed)
{
    [Fact]
    public async Task Program_of_the_page_brings_a_timer_to_a_grain()
    {
        var (silo, gateway) = (FreePort.Choose(), FreePort.Choose());
        var page = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "Client/OrleansMq.Orleans.Timers/TIMERS.md"));
        const string Fence = "```csharp\n";
        var first = page[(page.IndexOf(Fence, StringComparison.Ordinal) + Fence.Length)..];
        var program = await feed.CreateAsync("omq-silo", "Timing", _ => first[..first.IndexOf("```", StringComparison.Ordinal)]
            .Replace(".UseLocalhostClustering()", $".UseLocalhostClustering({silo}, {gateway})", StringComparison.Ordinal),
            "OrleansMq.Orleans.Timers");
        await using var running = feed.Start("dotnet", [program], feed["Timing"]);
        await running.LineAsync(static line => line == "order-7 owes 250 cents");
    }
}
