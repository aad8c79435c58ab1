using System.Text.Json;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>Apache Kafka's verifiable producer and, as a group of the consumer protocol, its verifiable consumer.</summary>
internal sealed class JavaClient : SteadyClient
{
    private const int RecordsPerSecond = 1200;

    private readonly int _count;
    private readonly string _config = Path.GetTempFileName();
    private readonly string _readersConfig = Path.GetTempFileName();
    private readonly RunningProgram _producer;
    private readonly RunningProgram _consumer;

    private JavaClient(SteadyTarget target)
    {
        _count = target.Count;
        var login = target.Login?.ToProperties() ?? "";
        // By default the tool does not retry.
        File.WriteAllText(_config, login + "retries=2147483647\nenable.idempotence=true\n");
        File.WriteAllText(_readersConfig, login);
        _producer = Start("VerifiableProducer", "--bootstrap-server", target.Brokers, "--topic", target.Topic, "--max-messages",
            $"{target.Count}", "--throughput", $"{RecordsPerSecond}", "--acks", "-1", "--command-config", _config);
        _consumer = Start("VerifiableConsumer", "--bootstrap-server", target.Brokers, "--topic", target.Topic, "--group-id", target.Topic,
            "--group-protocol", "consumer", "--verbose", "--command-config", _readersConfig);
    }

    public static Task<SteadyClient> StartAsync(SteadyTarget target) => Task.FromResult<SteadyClient>(new JavaClient(target));

    public override Task UnderWayAsync() => _consumer.LineAsync(static line => Read(line) == "1000");

    public override async Task EndAsync()
    {
        var produced = (await _producer.ExitAsync()).Expect(0).Lines;
        Assert.Equal(_count, produced.Count(static line => line.Contains("producer_send_success", StringComparison.Ordinal)));
        Assert.DoesNotContain(produced, static line => line.Contains("producer_send_error", StringComparison.Ordinal));
        var wanted = Enumerable.Range(0, _count).Select(static number => $"{number}").ToHashSet();
        var next = 0;
        await AwaitAsync(() =>
        {
            wanted.ExceptWith(_consumer.LinesFrom(ref next).Select(Read).OfType<string>());
            return wanted.Count == 0;
        }, () => $"{wanted.Count} records were not read.");
    }

    public override async ValueTask DisposeAsync()
    {
        await _producer.DisposeAsync();
        await _consumer.DisposeAsync();
        File.Delete(_config);
        File.Delete(_readersConfig);
    }

    private static RunningProgram Start(string tool, params string[] arguments) =>
        new(ClientProgram.Require("java"), ClientProgram.Java("org.apache.kafka.tools." + tool, arguments));

    private static string? Read(string line) => line.StartsWith('{') && line.Contains("record_data", StringComparison.Ordinal)
        ? JsonSerializer.Deserialize<JsonElement>(line).GetProperty("value").GetString() : null;
}
