using System.Runtime.CompilerServices;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>confluent-kafka for Python, from Debian: librdkafka with its administration and groups.</summary>
public sealed class PythonTests
{
    // Debian's own: its packages are not seen by another one.
    private const string Python = "/usr/bin/python3";
    private const string Package = "/usr/lib/python3/dist-packages/confluent_kafka";

    [SkippableTheory]
    [InlineData("administration.py")]
    [InlineData("rebalance.py")]
    public async Task A_script_finds_what_it_expects(string script)
    {
        Skip.IfNot(File.Exists(Python) && Directory.Exists(Package), "There is no python3-confluent-kafka.");
        await using var server = await KafkaServer.StartAsync();
        Assert.EndsWith("as expected\n", await ClientProgram.RunAsync(Python, [Path.Combine(Folder(), script), server.Address]), StringComparison.Ordinal);
        Assert.Empty(server.Log.Lines);
    }

    private static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "Python");
}
