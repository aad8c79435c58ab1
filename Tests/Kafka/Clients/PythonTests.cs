using System.Runtime.CompilerServices;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Clients for Python, from Debian: confluent-kafka, which is librdkafka with its administration and groups, and kafka-python.</summary>
public sealed class PythonTests
{
    // Debian's own: its packages are not seen by another one.
    private const string Python = "/usr/bin/python3";
    private const string Packages = "/usr/lib/python3/dist-packages";

    [SkippableTheory]
    [InlineData("administration.py", "confluent_kafka")]
    [InlineData("rebalance.py", "confluent_kafka")]
    [InlineData("kafka_python.py", "kafka")]
    public async Task A_script_finds_what_it_expects(string script, string package)
    {
        Skip.IfNot(File.Exists(Python) && Directory.Exists(Path.Combine(Packages, package)), $"There is no {package} for Python.");
        await using var server = await KafkaServer.StartAsync();
        Assert.EndsWith("as expected\n", await ClientProgram.RunAsync(Python, [Path.Combine(Folder(), script), server.Address]), StringComparison.Ordinal);
        Assert.Empty(server.Log.Lines);
    }

    private static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "Python");
}
