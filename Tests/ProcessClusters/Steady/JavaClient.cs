using System.Text.Json;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>Apache Kafka's verifiable producer and, as a group of the consumer protocol, its verifiable consumer. A producer that holds is
/// the console's: the verifiable one cannot wait.</summary>
internal sealed class JavaClient : SteadyClient
{
    private const int RecordsPerSecond = 1200;

    private readonly int _count;
    private readonly SteppedNumbers? _numbers;
    private readonly string _config = Path.GetTempFileName();
    private readonly string _readersConfig = Path.GetTempFileName();
    private readonly RunningProgram _producer;
    private readonly RunningProgram _consumer;

    private JavaClient(SteadyTarget target)
    {
        (_count, _numbers) = (target.Count, target.Holds.Count > 0 ? new SteppedNumbers(target) : null);
        var login = target.Login?.ToProperties() ?? "";
        // By default neither producer retries for long, and records without a key share a partition for some kilobytes.
        File.WriteAllText(_config, login + "retries=2147483647\nenable.idempotence=true\n" + (_numbers is null ? ""
            : "linger.ms=5\npartitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner\n"));
        File.WriteAllText(_readersConfig, login);
        _producer = _numbers is not null
            ? Start(target, "ConsoleProducer", "--bootstrap-server", target.Brokers, "--topic", target.Topic, "--command-config", _config)
            : Start(target, "VerifiableProducer", "--bootstrap-server", target.Brokers, "--topic", target.Topic, "--max-messages",
                $"{target.Count}", "--throughput", $"{RecordsPerSecond}", "--acks", "-1", "--command-config", _config);
        _consumer = Start(target, "VerifiableConsumer", "--bootstrap-server", target.Brokers, "--topic", target.Topic,
            "--group-id", target.Topic, "--group-protocol", "consumer", "--verbose", "--command-config", _readersConfig);
    }

    public static Task<SteadyClient> StartAsync(SteadyTarget target) => Task.FromResult<SteadyClient>(new JavaClient(target));

    public override int Members => 1;

    public override void GoOn() => _numbers!.GoOn();

    public override Task UnderWayAsync() => _consumer.LineAsync(static line => Read(line) == "1000");

    public override async Task ReadAsync(int count)
    {
        var wanted = Enumerable.Range(0, count).Select(static number => $"{number}").ToHashSet();
        var next = 0;
        await AwaitAsync(() =>
        {
            wanted.ExceptWith(_consumer.LinesFrom(ref next).Select(Read).OfType<string>());
            return wanted.Count == 0;
        }, () => $"{wanted.Count} of {count} records were not read.");
    }

    public override async Task EndAsync()
    {
        _numbers?.End();
        var produced = (await _producer.ExitAsync()).Expect(0).Lines;
        // The console's producer says nothing of what it wrote.
        if (_numbers is null)
        {
            Assert.Equal(_count, produced.Count(static line => line.Contains("producer_send_success", StringComparison.Ordinal)));
            Assert.DoesNotContain(produced, static line => line.Contains("producer_send_error", StringComparison.Ordinal));
        }
        await ReadAsync(_count);
    }

    public override async ValueTask DisposeAsync()
    {
        await _producer.DisposeAsync();
        await _consumer.DisposeAsync();
        File.Delete(_config);
        File.Delete(_readersConfig);
    }

    private RunningProgram Start(SteadyTarget target, string tool, params string[] arguments) => new(ClientProgram.Require("java"),
        [.. target.Login?.JavaOptions ?? [], .. ClientProgram.Java("org.apache.kafka.tools." + tool, arguments)],
        input: tool == "ConsoleProducer" ? _numbers!.Lines : null);

    private static string? Read(string line) => line.StartsWith('{') && line.Contains("record_data", StringComparison.Ordinal)
        ? JsonSerializer.Deserialize<JsonElement>(line).GetProperty("value").GetString() : null;
}
