using System.Runtime.CompilerServices;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>pika over a standalone broker, with its data on disk.</summary>
public sealed class BrokerTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-amqp").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [SkippableTheory]
    [InlineData("messages")]
    [InlineData("routing")]
    [InlineData("queues")]
    [InlineData("consuming")]
    [InlineData("returns")]
    [InlineData("transactions")]
    [InlineData("dead_letters")]
    [InlineData("streams")]
    [InlineData("errors")]
    public async Task Script_succeeds(string part)
    {
        await using var broker = await RunningGateway.StartAsync(_directory);
        await RunAsync(broker, part);
    }

    [SkippableFact]
    public async Task Restart_keeps_durable_messages()
    {
        await using (var broker = await RunningGateway.StartAsync(_directory))
            await RunAsync(broker, "before_restart");
        await using (var broker = await RunningGateway.StartAsync(_directory))
            await RunAsync(broker, "after_restart");
    }

    private static async Task RunAsync(RunningGateway broker, string part)
    {
        var environment = PythonPackages.RequireWheels();
        Skip.IfNot(Directory.Exists(Path.Combine(environment["PYTHONPATH"]!, "pika")), "There is no wheel of pika among the peers'.");
        string said;
        try
        {
            said = await ClientProgram.RunAsync(PythonPackages.Python, [Script(), $"127.0.0.1:{broker.Port}", part],
                environment: environment);
        }
        catch (Exception fault)
        {
            throw new InvalidOperationException($"{fault.Message}\n{string.Join('\n', broker.Log.Lines)}", fault);
        }
        Assert.EndsWith("as expected\n", said, StringComparison.Ordinal);
    }

    private static string Script([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "broker_pika.py");
}
