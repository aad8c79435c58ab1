using System.Collections.Concurrent;
using Confluent.Kafka;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using KafkaError = Confluent.Kafka.ErrorCode;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>What became of one record that Confluent.Kafka wrote over new connections.</summary>
/// <param name="IsAcknowledged">Whether it was acknowledged.</param>
/// <param name="Said">What the client said of it.</param>
internal sealed record OneRecord(bool IsAcknowledged, string Said)
{
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
}
