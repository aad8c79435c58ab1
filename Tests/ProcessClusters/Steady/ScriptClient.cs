using System.Text.Json;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>A script that writes and reads by itself and reports its progress.</summary>
internal sealed class ScriptClient : SteadyClient
{
    // Longer than the script's own timeout, after which it reports what is missing.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private readonly SteppedStream? _steps;
    private readonly RunningProgram _program;
    private readonly NodePackages? _packages;

    private ScriptClient(string program, string[] arguments, NodePackages? packages = null, SteppedStream? steps = null)
    {
        _program = new RunningProgram(program, arguments, input: steps, environment: packages?.Environment);
        (_packages, _steps) = (packages, steps);
    }

    public static Task<SteadyClient> PythonAsync(string package, string script, SteadyTarget target)
    {
        PythonPackages.Require(package);
        string[] login = target.Login is { } known ? [known.ToPython()] : [];
        string[] holds = target.Holds.Count > 0 ? [JsonSerializer.Serialize(target.Holds)] : [];
        return Task.FromResult<SteadyClient>(new ScriptClient(PythonPackages.Python,
            [PythonPackages.Script(script), target.Brokers, target.Topic, $"{target.Count}", .. login, .. holds],
            steps: holds.Length > 0 ? new SteppedStream() : null));
    }

    public static async Task<SteadyClient> NodeAsync(string library, SteadyTarget target)
    {
        Assert.Null(target.Login);
        Assert.Empty(target.Holds);
        var packages = library == "kafkajs" ? await NodePackages.RequireKafkajsAsync() : NodePackages.RequireConfluent();
        return new ScriptClient(ClientProgram.Require("node"), [NodePackages.Script("steady.js"), library, target.Brokers, target.Topic,
            $"{target.Count}"],
            packages);
    }

    // The script reads a line at each hold.
    public override void GoOn() => _steps!.Give("\n"u8);

    public override Task UnderWayAsync() => ReadAsync(1000);

    public override Task ReadAsync(int count) => _program.LineAsync(line => line == $"read {count}");

    public override async Task EndAsync()
    {
        _steps?.End();
        Assert.EndsWith("as expected\n", (await _program.ExitAsync(Patience)).Expect(0).Text, StringComparison.Ordinal);
    }

    public override async ValueTask DisposeAsync()
    {
        await _program.DisposeAsync();
        _packages?.Dispose();
    }
}
