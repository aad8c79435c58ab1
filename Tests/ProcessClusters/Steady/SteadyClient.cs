using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>A Kafka client that writes the numbers from 0 to a topic while a group of the topic's name reads them, through the loss of a
/// broker.</summary>
internal abstract class SteadyClient : IAsyncDisposable
{
    /// <summary>The session timeout of the members. Brokers die here, not members.</summary>
    protected const int SessionMilliseconds = 10_000;

    /// <summary>The client without an idempotent producer: its retries may duplicate records.</summary>
    public const string AtLeastOnce = "kafka-python";

    /// <summary>All clients, by name.</summary>
    public static IReadOnlyDictionary<string, Func<SteadyTarget, Task<SteadyClient>>> All { get; } =
        new Dictionary<string, Func<SteadyTarget, Task<SteadyClient>>>
    {
        ["kcat"] = KcatClient.StartAsync,
        ["confluent-kafka"] = static target => ScriptClient.PythonAsync("confluent_kafka", "steady_confluent.py", target),
        ["kafka-python"] = static target => ScriptClient.PythonAsync("kafka", "steady_kafka_python.py", target),
        ["kafkajs"] = static target => ScriptClient.NodeAsync("kafkajs", target),
        ["kafka-javascript"] = static target => ScriptClient.NodeAsync("confluent", target),
        ["Confluent.Kafka"] = ConfluentClient.StartAsync,
        ["java"] = JavaClient.StartAsync,
    };

    /// <summary>The number of its consumers.</summary>
    public virtual int Members => 2;

    /// <summary>Lets a client that waits at a hold of its target write up to the next one.</summary>
    public abstract void GoOn();

    /// <summary>Waits until the group has read some records and many are still to come.</summary>
    public abstract Task UnderWayAsync();

    /// <summary>Waits until the group has read the first records, except the last of them that a producer's input buffer keeps.</summary>
    /// <param name="count">Their number, a multiple of 500.</param>
    public abstract Task ReadAsync(int count);

    /// <summary>Waits until every record is acknowledged and read by the group. Fails if either is impossible.</summary>
    public abstract Task EndAsync();

    public abstract ValueTask DisposeAsync();

    /// <summary>Waits for a condition.</summary>
    protected static async Task AwaitAsync(Func<bool> condition, Func<string> otherwise)
    {
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, otherwise());
            await Task.Delay(20, CancellationToken.None);
        }
    }
}
