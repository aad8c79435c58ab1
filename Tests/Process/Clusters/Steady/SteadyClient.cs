namespace OrleansMq.Tests.Process.Clusters.Steady;

/// <summary>A Kafka client that writes the numbers from 0 on to a topic while a group of the topic's name reads them, whatever becomes of a
/// broker.</summary>
internal abstract class SteadyClient : IAsyncDisposable
{
    /// <summary>A member that dies is out of its group after so long. Brokers die here, not members.</summary>
    protected const int SessionMilliseconds = 10_000;

    /// <summary>All there are, by name.</summary>
    public static IReadOnlyDictionary<string, Func<string, string, int, Task<SteadyClient>>> All { get; } =
        new Dictionary<string, Func<string, string, int, Task<SteadyClient>>>
    {
        ["kcat"] = KcatClient.StartAsync,
        ["confluent-kafka"] = (brokers, topic, count) => ScriptClient.PythonAsync("confluent_kafka", "steady_confluent.py", brokers, topic,
            count),
        ["kafka-python"] = (brokers, topic, count) => ScriptClient.PythonAsync("kafka", "steady_kafka_python.py", brokers, topic, count),
        ["kafkajs"] = (brokers, topic, count) => ScriptClient.NodeAsync("kafkajs", brokers, topic, count),
        ["kafka-javascript"] = (brokers, topic, count) => ScriptClient.NodeAsync("confluent", brokers, topic, count),
        ["Confluent.Kafka"] = ConfluentClient.StartAsync,
        ["java"] = JavaClient.StartAsync,
    };

    /// <summary>Returns when some of what was written was read by the group, and much is still to come.</summary>
    public abstract Task UnderWayAsync();

    /// <summary>Returns when all of it was acknowledged, and read by the group; fails where one of both cannot be.</summary>
    public abstract Task EndAsync();

    public abstract ValueTask DisposeAsync();

    /// <summary>Waits for what must happen.</summary>
    protected static async Task AwaitAsync(Func<bool> condition, Func<string> otherwise)
    {
        using var deadline = new CancellationTokenSource(Running.RunningProgram.Patience);
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, otherwise());
            await Task.Delay(20, CancellationToken.None);
        }
    }
}
