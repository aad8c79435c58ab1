using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Clients for Python, from Debian: kafka-python, and confluent-kafka, which is librdkafka with its administration and
/// groups.</summary>
public sealed class PythonTests
{
    [SkippableTheory]
    [InlineData("administration.py", "confluent_kafka")]
    [InlineData("rebalance.py", "confluent_kafka")]
    [InlineData("steady_confluent.py", "confluent_kafka", "steady", "1000")]
    [InlineData("kafka_python.py", "kafka")]
    [InlineData("steady_kafka_python.py", "kafka", "steady", "1000")]
    public async Task Script_succeeds(string script, string package, params string[] more)
    {
        PythonPackages.Require(package);
        await using var server = await KafkaServer.StartAsync();
        var said = await ClientProgram.RunAsync(PythonPackages.Python, [PythonPackages.Script(script), server.Address, .. more]);
        Assert.EndsWith("as expected\n", said, StringComparison.Ordinal);
        Assert.Empty(server.Log.Lines);
    }
}
