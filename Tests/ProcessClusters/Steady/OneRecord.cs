using System.Collections.Concurrent;
using System.Text;
using Confluent.Kafka;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using KafkaError = Confluent.Kafka.ErrorCode;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>What became of one record that a Kafka client wrote over new connections.</summary>
/// <param name="IsAcknowledged">Whether it was acknowledged.</param>
/// <param name="Said">What the client said of it.</param>
internal sealed record OneRecord(bool IsAcknowledged, string Said)
{
    /// <summary>Clients that write one, by name.</summary>
    public static IReadOnlyDictionary<string, Func<string, string, SteadyLogin, Task<OneRecord>>> By { get; } =
        new Dictionary<string, Func<string, string, SteadyLogin, Task<OneRecord>>>
    {
        ["Confluent.Kafka"] = ConfluentAsync,
        ["kafka-python"] = PythonAsync,
        ["kcat"] = KcatAsync,
        ["java"] = JavaAsync,
    };

    /// <summary>Writes one by Confluent.Kafka.</summary>
    /// <param name="brokers">The brokers.</param>
    /// <param name="topic">The topic.</param>
    /// <param name="login">How it connects.</param>
    public static async Task<OneRecord> ConfluentAsync(string brokers, string topic, SteadyLogin login)
    {
        Librdkafka.Require();
        var said = new ConcurrentQueue<string>();
        var refused = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var config = new ProducerConfig { BootstrapServers = brokers };
        login.AddTo(config);
        using var producer = new ProducerBuilder<Null, string>(config).SetLogHandler((_, line) => said.Enqueue(line.Message))
            .SetErrorHandler((_, error) =>
            {
                said.Enqueue($"{error.Code}: {error.Reason}");
                // It would connect again for five minutes.
                if (error.Code == KafkaError.Local_AllBrokersDown)
                    refused.TrySetResult();
            }).Build();
        var writing = producer.ProduceAsync(topic, new Message<Null, string> { Value = "one" });
        try
        {
            if (await Task.WhenAny(writing, refused.Task).WaitAsync(RunningProgram.Patience) == writing)
            {
                await writing;
                return new OneRecord(true, "");
            }
        }
        catch (ProduceException<Null, string> fault)
        {
            said.Enqueue(fault.Error.Reason);
        }
        return new OneRecord(false, string.Join('\n', said));
    }

    private static async Task<OneRecord> KcatAsync(string brokers, string topic, SteadyLogin login)
    {
        await using var program = new RunningProgram(ClientProgram.Require("kcat"), ["-P", "-b", brokers, "-t", topic, .. login.ToKcat()],
            input: new MemoryStream(Encoding.ASCII.GetBytes("one\n")));
        var outcome = await program.ExitAsync();
        return new OneRecord(outcome.ExitCode == 0, outcome.Error);
    }

    private static async Task<OneRecord> JavaAsync(string brokers, string topic, SteadyLogin login)
    {
        var config = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(config, login.ToProperties());
            await using var program = new RunningProgram(ClientProgram.Require("java"), ClientProgram.Java(
                "org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", brokers, "--topic", topic, "--max-messages", "1",
                "--command-config", config));
            var outcome = await program.ExitAsync();
            return new OneRecord(outcome.Text.Contains("producer_send_success", StringComparison.Ordinal), outcome.Text + outcome.Error);
        }
        finally
        {
            File.Delete(config);
        }
    }

    private static async Task<OneRecord> PythonAsync(string brokers, string topic, SteadyLogin login)
    {
        PythonPackages.Require("kafka");
        await using var program = new RunningProgram(PythonPackages.Python,
            [PythonPackages.Script("one_record_kafka_python.py"), brokers, topic, login.ToPython()]);
        var outcome = (await program.ExitAsync()).Expect(0);
        return new OneRecord(outcome.Text == "acknowledged\n", outcome.Text);
    }
}
