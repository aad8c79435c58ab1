using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>The sample shop as processes: web front, silo and worker.</summary>
public sealed class ShopSampleTests : IDisposable
{
    private const int Interrupt = 2;
    private const int Kill = 9;

    private readonly TemporaryDirectory _directory = new();
    private readonly int _gateway = FreePort.Choose();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Tests_of_the_sample_pass()
    {
        await using var tests = new RunningProgram("dotnet", ["vstest", PathOf("Tests")]);
        Assert.Contains("Passed:     4", (await tests.ExitAsync()).Expect(0).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Orders_by_http_are_billed_and_none_is_lost_when_the_worker_is_killed()
    {
        await using var silo = await StartAsync("Silo", $"--SiloPort={FreePort.Choose()}", $"--HttpPort={FreePort.Choose()}",
            $"--Data={_directory["data"]}");
        var url = $"http://127.0.0.1:{FreePort.Choose()}";
        await using var web = await StartAsync("Web", $"--urls={url}");
        using var http = new HttpClient { BaseAddress = new Uri(url) };
        var ordered = new List<string>();

        await using (var killed = await StartAsync("Worker"))
        {
            ordered.Add(await OrderAsync(http, "ada"));
            await InvoicedAsync(http, ordered);
            for (var number = 0; number < 60; number++)
            {
                ordered.Add(await OrderAsync(http, $"customer-{number % 7}"));
                if (number == 30)
                    killed.Signal(Kill);
            }
        }
        await using var worker = await StartAsync("Worker");
        await InvoicedAsync(http, ordered);

        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync("/orders/none")).StatusCode);
        foreach (var program in (RunningProgram[])[worker, web, silo])
        {
            program.Signal(Interrupt);
            (await program.ExitAsync()).Expect(0);
        }
    }

    private async Task<RunningProgram> StartAsync(string name, params string[] arguments)
    {
        var program = new RunningProgram("dotnet", [PathOf(name), $"--GatewayPort={_gateway}", .. arguments]);
        await program.LineAsync(static line => line.Contains("Application started", StringComparison.Ordinal));
        return program;
    }

    private static async Task<string> OrderAsync(HttpClient http, string customer)
    {
        using var accepted = await http.PostAsJsonAsync("/orders", new { customer, item = "apple", quantity = 2 });
        Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);
        return (await accepted.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
    }

    private static async Task InvoicedAsync(HttpClient http, List<string> orders)
    {
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        foreach (var order in orders)
        {
            while ((await http.GetAsync($"/orders/{order}", deadline.Token)).StatusCode != HttpStatusCode.OK)
                await Task.Delay(50, deadline.Token);
            Assert.Equal(6, (await http.GetFromJsonAsync<JsonElement>($"/orders/{order}")).GetProperty("amount").GetInt32());
        }
    }

    // artifacts/FLAVOUR/bin/PROJECT/CONFIGURATION
    private static string PathOf(string name)
    {
        var configuration = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        return Path.Combine(configuration.Parent!.Parent!.FullName, $"OrleansMq.Samples.Shop.{name}", configuration.Name,
            $"OrleansMq.Samples.Shop.{name}.dll");
    }
}
