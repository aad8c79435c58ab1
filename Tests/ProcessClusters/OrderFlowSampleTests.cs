using System.Net.Http.Json;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>The sample with the order flow of four grains: its tests, and its program.</summary>
public sealed class OrderFlowSampleTests : IDisposable
{
    private const int Interrupt = 2;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Tests_of_the_sample_pass()
    {
        await using var tests = new RunningProgram("dotnet", ["vstest", PathOf("OrleansMq.Samples.OrderFlow.Tests")]);
        Assert.Contains("Passed:     7", (await tests.ExitAsync()).Expect(0).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Program_takes_orders_by_http()
    {
        var url = $"http://127.0.0.1:{FreePort.Choose()}";
        await using var silo = new RunningProgram("dotnet", [PathOf("OrleansMq.Samples.OrderFlow"), $"--urls={url}",
            $"--SiloPort={FreePort.Choose()}", $"--GatewayPort={FreePort.Choose()}", $"--BrokerPort={FreePort.Choose()}",
            $"--Data={_directory["data"]}"]);
        await silo.LineAsync(static line => line.Contains("Application started", StringComparison.Ordinal));
        using var http = new HttpClient { BaseAddress = new Uri(url) };
        (await http.PutAsJsonAsync("/accounts/ada", new { cents = 1_000 })).EnsureSuccessStatusCode();
        foreach (var (order, cents) in ((string, int)[])[("1", 700), ("2", 700)])
        {
            (await http.PutAsJsonAsync($"/orders/{order}", new { customer = "ada", cents, payBy = DateTimeOffset.UtcNow.AddHours(1) }))
                .EnsureSuccessStatusCode();
        }
        Assert.Equal(["Paid", "Declined"], [await DecidedAsync(http, "1"), await DecidedAsync(http, "2")]);
        Assert.Equal(300, (await http.GetFromJsonAsync<JsonElement>("/accounts/ada")).GetProperty("balance").GetInt64());

        silo.Signal(Interrupt);
        (await silo.ExitAsync()).Expect(0);
    }

    private static async Task<string> DecidedAsync(HttpClient http, string order)
    {
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (true)
        {
            var status = (await http.GetFromJsonAsync<JsonElement>($"/orders/{order}", deadline.Token)).GetProperty("status").GetString()!;
            if (status != "Placed")
                return status;
            await Task.Delay(50, deadline.Token);
        }
    }

    // artifacts/FLAVOUR/bin/PROJECT/CONFIGURATION
    private static string PathOf(string project)
    {
        var configuration = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        return Path.Combine(configuration.Parent!.Parent!.FullName, project, configuration.Name, $"{project}.dll");
    }
}
