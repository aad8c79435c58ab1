using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>A script that writes and reads by itself and reports its progress.</summary>
internal sealed class ScriptClient : SteadyClient
{
    // Longer than the script's own timeout, after which it reports what is missing.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private readonly RunningProgram _program;
    private readonly NodePackages? _packages;

    private ScriptClient(string program, string[] arguments, NodePackages? packages = null)
    {
        _program = new RunningProgram(program, arguments, environment: packages?.Environment);
        _packages = packages;
    }

    public static Task<SteadyClient> PythonAsync(string package, string script, SteadyTarget target)
    {
        PythonPackages.Require(package);
        string[] login = target.Login is { } known ? [known.ToPython()] : [];
        return Task.FromResult<SteadyClient>(new ScriptClient(PythonPackages.Python,
            [PythonPackages.Script(script), target.Brokers, target.Topic, $"{target.Count}", .. login]));
    }

    public static async Task<SteadyClient> NodeAsync(string library, SteadyTarget target)
    {
        Assert.Null(target.Login);
        var packages = library == "kafkajs" ? await NodePackages.RequireKafkajsAsync() : NodePackages.RequireConfluent();
        return new ScriptClient(ClientProgram.Require("node"), [NodePackages.Script("steady.js"), library, target.Brokers, target.Topic,
            $"{target.Count}"],
            packages);
    }

    public override Task UnderWayAsync() => _program.LineAsync(static line => line == "read 1000");

    public override async Task EndAsync() =>
        Assert.EndsWith("as expected\n", (await _program.ExitAsync(Patience)).Expect(0).Text, StringComparison.Ordinal);

    public override async ValueTask DisposeAsync()
    {
        await _program.DisposeAsync();
        _packages?.Dispose();
    }
}
