using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Process.Running;

/// <summary>A broker that the launcher started and that is ready to serve.</summary>
internal sealed class RunningBroker : IAsyncDisposable
{
    private RunningBroker(RunningProgram program, string readyLine, string dataDirectory)
    {
        Program = program;
        ReadyLine = readyLine;
        DataDirectory = dataDirectory;
        Url = Field("http");
    }

    public RunningProgram Program { get; }
    public string ReadyLine { get; }
    public string DataDirectory { get; }
    public string Url { get; }

    /// <summary>The port, so that the next broker can use the same.</summary>
    public int Port => new Uri(Url).Port;

    /// <summary>Starts <c>./omq up</c> and waits until it is ready.</summary>
    public static Task<RunningBroker> UpAsync(string dataDirectory, int port = 0, params string[] more) =>
        UpAsync(new RunningProgram(Repository.Launcher, Arguments(dataDirectory, port, more)), dataDirectory);

    /// <summary>The same, in a process that may open only so many files.</summary>
    public static Task<RunningBroker> UpAsync(int openFiles, string dataDirectory, params string[] more) =>
        UpAsync(new RunningProgram("bash", ["-c", $"ulimit -n {openFiles} && exec \"$0\" \"$@\"", Repository.Launcher,
            .. Arguments(dataDirectory, 0, more)]), dataDirectory);

    /// <summary>The same, with additional environment variables.</summary>
    public static Task<RunningBroker> UpAsync(string dataDirectory, IReadOnlyDictionary<string, string?> environment) =>
        UpAsync(new RunningProgram(Repository.Launcher, Arguments(dataDirectory, 0, []), environment: environment), dataDirectory);

    // A port that the next broker can use, too: none that an outgoing connection gets meanwhile.
    private static string[] Arguments(string dataDirectory, int port, string[] more) =>
        ["up", "--data", dataDirectory, "--http", $"127.0.0.1:{(port == 0 ? FreePort.Choose() : port)}", .. more];

    private static async Task<RunningBroker> UpAsync(RunningProgram program, string dataDirectory)
    {
        try
        {
            return new RunningBroker(program, await program.LineAsync(line => line.StartsWith("ready ", StringComparison.Ordinal)),
                dataDirectory);
        }
        catch
        {
            await program.DisposeAsync();
            throw;
        }
    }

    /// <summary>Returns a field of the ready line, such as <c>http</c>.</summary>
    public string Field(string name) =>
        ReadyLine.Split(' ').Single(word => word.StartsWith(name + "=", StringComparison.Ordinal))[(name.Length + 1)..];

    /// <summary>Runs a client command against this broker to completion.</summary>
    public Task<Outcome> OmqAsync(string[] arguments, byte[]? input = null) =>
        RunningProgram.OmqAsync([.. arguments, "--server", Url], input: input);

    /// <summary>Waits until that many batches were answered, by the broker's metrics.</summary>
    public Task WaitUntilAnsweredAsync(int batches) => WaitForMetricAsync(
        "orleansmq_http_request_duration_seconds_count{route=\"/api/topics/{topic}/partitions/{partition}/batches\","
        + $"method=\"POST\",status=\"200\"}} {batches}\n", RunningProgram.Patience);

    /// <summary>Waits until the metrics contain a text.</summary>
    public async Task WaitForMetricAsync(string text, TimeSpan patience)
    {
        using var http = new HttpClient { BaseAddress = new Uri(Url) };
        using var deadline = new CancellationTokenSource(patience);
        while (!(await http.GetStringAsync("/metrics", deadline.Token)).Contains(text, StringComparison.Ordinal))
            await Task.Delay(20, deadline.Token);
    }

    /// <summary>Kills the broker with SIGKILL.</summary>
    public async Task KillAsync()
    {
        Program.Signal(9);
        await Program.ExitAsync();
    }

    public ValueTask DisposeAsync() => Program.DisposeAsync();
}
