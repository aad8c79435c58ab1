using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace OrleansMq.Tests.Silo.Hosting;

/// <summary>The program in a process of its own: its output, exit codes and signals.</summary>
public sealed class ProgramTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-program-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("--flush often", "--flush often: expected none, interval or sync")]
    [InlineData("--bogus", "--bogus")]
    [InlineData("--config /not/there.json", "--config /not/there.json")]
    [InlineData("--admin-password-file /not/there", "--admin-password-file /not/there: the file cannot be read")]
    public async Task Invalid_usage_is_one_line_and_exit_code_2(string args, string named)
    {
        var (code, output, error) = await RunAsync(args.Split(' '));
        Assert.Equal((2, ""), (code, output));
        AssertOneLine(error, named);
    }

    [Fact]
    public async Task Invalid_variable_is_named()
    {
        var (code, _, error) = await RunAsync([], new() { ["OMQ_BROKER_ID"] = "first" });
        Assert.Equal(2, code);
        AssertOneLine(error, "OMQ_BROKER_ID=first");
    }

    [Fact]
    public async Task Help_has_an_example_and_version_a_number()
    {
        var (code, help, _) = await RunAsync(["--help"]);
        Assert.Equal(0, code);
        Assert.Contains("Example: ", help, StringComparison.Ordinal);
        Assert.Contains("--min-free-bytes", help, StringComparison.Ordinal);
        Assert.Matches(@"^\d+\.\d+\.\d+", (await RunAsync(["--version"])).Output);
    }

    [Fact]
    public async Task Port_in_use_is_one_line_and_exit_code_4()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        var (code, output, error) = await RunAsync(["--data", _directory, "--http", $"{port}", "--standalone"]);
        Assert.Equal((4, ""), (code, output));
        AssertOneLine(error, $"--http 127.0.0.1:{port}", "in use");
    }

    [Fact]
    public async Task File_as_data_directory_is_one_line_and_exit_code_1()
    {
        var path = Path.Combine(_directory, "file");
        await File.WriteAllTextAsync(path, "");
        var (code, output, error) = await RunAsync(["--data", path, "--http", "0", "--standalone"]);
        Assert.Equal((1, ""), (code, output));
        AssertOneLine(error, path);
    }

    [Theory]
    [InlineData(PosixTerm)]
    [InlineData(PosixInt)]
    public async Task Program_reports_ready_and_stops_cleanly_on_a_signal(int signal)
    {
        using var process = Start(["--data", _directory, "--http", "0", "--standalone", "--json"], []);
        var ready = JsonDocument.Parse((await process.StandardOutput.ReadLineAsync().WaitAsync(RunningBroker.Patience))!).RootElement;
        Assert.Equal((_directory, "standalone", process.Id),
            (ready.GetProperty("data").GetString(), ready.GetProperty("flavour").GetString(), ready.GetProperty("pid").GetInt32()));
        using (var http = new HttpClient { BaseAddress = new Uri(ready.GetProperty("http").GetString()!) })
            Assert.Equal("ok", await http.GetStringAsync("/readyz"));

        var second = await RunAsync(["--data", _directory, "--http", "0", "--standalone"]);
        Assert.Equal((1, ""), (second.Code, second.Output));
        AssertOneLine(second.Error, _directory);

        await SignalAsync(process, signal);
        await process.WaitForExitAsync().WaitAsync(RunningBroker.Patience);
        Assert.Equal(0, process.ExitCode);
        Assert.True(File.Exists(Path.Combine(_directory, "clean-shutdown")));
        Assert.Equal("", await process.StandardOutput.ReadToEndAsync());
    }

    [Theory]
    [InlineData("0")]
    [InlineData("100")]
    public async Task Unfinished_request_is_cut_at_the_drain_deadline(string milliseconds)
    {
        using var process = Start(["--data", _directory, "--http", "0", "--standalone", "--drain-timeout-ms", milliseconds], []);
        using var held = await HoldRequestAsync(await ReadyAddressAsync(process));
        await SignalAsync(process, PosixTerm);
        await process.WaitForExitAsync().WaitAsync(RunningBroker.Patience);
        Assert.Equal(0, process.ExitCode);
        Assert.Contains("still in flight", await process.StandardError.ReadToEndAsync(), StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(_directory, "clean-shutdown")));
    }

    [Fact]
    public async Task Second_interrupt_stops_at_once()
    {
        using var process = Start(["--data", _directory, "--http", "0", "--standalone", "--drain-timeout-ms", "600000"], []);
        using var held = await HoldRequestAsync(await ReadyAddressAsync(process));
        await SignalAsync(process, PosixInt);
        string? said;
        do
            Assert.NotNull(said = await process.StandardError.ReadLineAsync().WaitAsync(RunningBroker.Patience));
        while (!said.Contains("Stopping", StringComparison.Ordinal));
        await SignalAsync(process, PosixInt);
        await process.WaitForExitAsync().WaitAsync(RunningBroker.Patience);
        Assert.Equal(130, process.ExitCode);
    }

    /// <summary>Sends half a request, which stays in flight until the rest arrives.</summary>
    private static async Task<TcpClient> HoldRequestAsync(Uri address)
    {
        using (var http = new HttpClient { BaseAddress = address })
        using (var created = await http.PutAsync("/api/topics/held", null))
            Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, address.Port);
        await client.GetStream()
            .WriteAsync(Encoding.ASCII.GetBytes("POST /api/topics/held/partitions/0/batches HTTP/1.1\r\nHost: localhost\r\nExpect: "
            + "100-continue\r\n"
            + "Content-Type: application/vnd.orleansmq.record-batch\r\nContent-Length: 100\r\n\r\n"));
        // The broker asks for the body (100 Continue) when it begins to read it. From here on the request is in flight.
        var answer = new byte[25];
        await client.GetStream().ReadExactlyAsync(answer).AsTask().WaitAsync(RunningBroker.Patience);
        Assert.StartsWith("HTTP/1.1 100", Encoding.ASCII.GetString(answer), StringComparison.Ordinal);
        return client;
    }

    private static async Task<Uri> ReadyAddressAsync(Process process)
    {
        var line = (await process.StandardOutput.ReadLineAsync().WaitAsync(RunningBroker.Patience))!;
        Assert.StartsWith("ready http=", line, StringComparison.Ordinal);
        return new Uri(line.Split(' ')[1]["http=".Length..]);
    }

    private static async Task SignalAsync(Process process, int signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
        await kill.WaitForExitAsync();
    }

    private const int PosixInt = 2;
    private const int PosixTerm = 15;

    private static void AssertOneLine(string error, params string[] named)
    {
        Assert.Single(error.TrimEnd().Split('\n'));
        Assert.StartsWith("orleansmq: ", error, StringComparison.Ordinal);
        Assert.All(named, name => Assert.Contains(name, error, StringComparison.Ordinal));
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(string[] args,
        Dictionary<string, string>? environment = null)
    {
        using var process = Start(args, environment ?? []);
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(RunningBroker.Patience);
        return (process.ExitCode, await output, await error);
    }

    private static Process Start(string[] args, Dictionary<string, string> environment)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(OrleansMq.Silo.Hosting.BrokerServer).Assembly.Location, .. args])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("OMQ_", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(name);
        start.Environment["OMQ_KAFKA"] = "off"; // Another broker on this machine may have the default port.
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return Process.Start(start)!;
    }
}
