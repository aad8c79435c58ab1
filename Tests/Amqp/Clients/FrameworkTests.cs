using System.Runtime.CompilerServices;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Amqp.Clients;

/// <summary>Debian's kombu, Celery, aio-pika and amqp-tools over a standalone broker, with its data on disk.</summary>
public sealed class FrameworkTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-frameworks").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [SkippableTheory]
    [InlineData("kombu")]
    [InlineData("aio_pika")]
    public Task Script_of_Python_succeeds(string package) => RunPythonAsync(package);

    [SkippableFact]
    public Task Celery_runs_its_tasks() => RunPythonAsync("celery");

    [SkippableFact]
    public async Task Programs_of_librabbitmq_succeed()
    {
        ClientProgram.Require("amqp-publish");
        await RunAsync(ClientProgram.Require("bash"), "broker_amqp_tools");
    }

    private Task RunPythonAsync(string package)
    {
        PythonPackages.Require(package);
        return RunAsync(PythonPackages.Python, $"broker_{package}.py");
    }

    private async Task RunAsync(string program, string script)
    {
        await using var broker = await RunningGateway.StartAsync(_directory);
        var said = await ClientProgram.RunAsync(program, [Script(script), $"127.0.0.1:{broker.Port}"]);
        Assert.EndsWith("as expected\n", said, StringComparison.Ordinal);
    }

    private static string Script(string name, [CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, name);
}
