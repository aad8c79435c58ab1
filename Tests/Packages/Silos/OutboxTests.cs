using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Packages.Silos;

/// <summary>The package with the outbox of grains, in a silo made from the template with the program of the package's page.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class OutboxTests(PackageFeed feed)
{
    [Fact]
    public async Task Program_of_the_page_sends_what_a_grain_has_written()
    {
        var (silo, gateway) = (FreePort.Choose(), FreePort.Choose());
        var page = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "Client/OrleansMq.Orleans.Outbox/OUTBOX.md"));
        const string Fence = "```csharp\n";
        var first = page[(page.IndexOf(Fence, StringComparison.Ordinal) + Fence.Length)..];
        var program = await feed.CreateAsync("omq-silo", "Sending", _ => first[..first.IndexOf("```", StringComparison.Ordinal)]
            .Replace(".UseLocalhostClustering()", $".UseLocalhostClustering({silo}, {gateway})", StringComparison.Ordinal),
            "OrleansMq.Orleans.Outbox");
        await using var running = feed.Start("dotnet", [program], feed["Sending"]);
        await running.LineAsync(static line => line == "ada: 100");
    }
}
