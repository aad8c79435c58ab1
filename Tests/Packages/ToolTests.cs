using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Packages;

/// <summary>The broker and the command line as .NET tools.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class ToolTests(PackageFeed feed)
{
    private const int Interrupt = 2;

    [Fact]
    public async Task Installed_broker_serves_the_installed_command_line()
    {
        var orleansmq = await feed.InstallToolAsync("OrleansMq.Broker", "orleansmq");
        var omq = await feed.InstallToolAsync("OrleansMq.Cli", "omq");
        await using var broker = feed.Start(orleansmq, ["--data", feed["data"], "--http", "0", "--kafka", "off"]);
        var ready = await broker.LineAsync(static line => line.StartsWith("ready ", StringComparison.Ordinal));
        var server = ready.Split(' ').Single(static word => word.StartsWith("http=", StringComparison.Ordinal))["http=".Length..];

        (await feed.RunAsync(omq, ["topic", "create", "orders", "--server", server])).Expect(0);
        await using (var produce = new RunningProgram(omq, ["produce", "orders", "--server", server],
            input: new MemoryStream("two apples\n"u8.ToArray())))
            (await produce.ExitAsync()).Expect(0);
        var consumed = (await feed.RunAsync(omq, ["consume", "orders", "--max", "1", "--server", server])).Expect(0);

        Assert.Equal("two apples\n", consumed.Text);
        broker.Signal(Interrupt);
        (await broker.ExitAsync()).Expect(0);
    }
}
