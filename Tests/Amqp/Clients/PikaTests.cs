using System.Net;
using System.Runtime.CompilerServices;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Amqp.Clients;

/// <summary>pika, the client for Python, from the wheels of the peers.</summary>
public sealed class PikaTests
{
    [SkippableFact]
    public async Task Script_succeeds()
    {
        var environment = PythonPackages.RequireWheels();
        Skip.IfNot(Directory.Exists(Path.Combine(environment["PYTHONPATH"]!, "pika")), "There is no wheel of pika among the peers'.");
        var (access, log) = (new TestAccess(), new RecordedLog());
        await using var server = AmqpServer.Start(new IPEndPoint(IPAddress.Loopback, 0), new ConnectionSettings(), access,
            TimeProvider.System, log);
        var said = await ClientProgram.RunAsync(PythonPackages.Python, [Script(), server.EndPoint.ToString()], environment: environment);
        Assert.EndsWith("as expected\n", said, StringComparison.Ordinal);
        Assert.Contains(log.Lines, static line => line.Contains("user 'guest' could not log in: wrong password", StringComparison.Ordinal));
        Assert.Contains("session ended", access.Events);
    }

    private static string Script([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "wire_pika.py");
}
