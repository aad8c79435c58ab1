using System.Collections.Concurrent;
using Confluent.Kafka;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>Confluent.Kafka: an idempotent producer, and a group of two consumers with cooperative rebalances.</summary>
internal sealed class ConfluentClient : SteadyClient
{
    private readonly SteadyTarget _target;
    private readonly ConcurrentDictionary<string, byte> _read = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _writing;
    private readonly Task[] _reading;

    private ConfluentClient(SteadyTarget target)
    {
        _target = target;
        _writing = WriteAsync();
        _reading =
            [.. Enumerable.Range(0, 2)
                .Select(_ => Task.Factory.StartNew(Read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
    }

    public static Task<SteadyClient> StartAsync(SteadyTarget target)
    {
        Librdkafka.Require();
        return Task.FromResult<SteadyClient>(new ConfluentClient(target));
    }

    public override Task UnderWayAsync() => AwaitAsync(() => _read.Count >= 1000, () => $"{_read.Count} records were read.");

    public override async Task EndAsync()
    {
        await _writing;
        await AwaitAsync(() => _read.Count == _target.Count, () => $"{_read.Count} of {_target.Count} records were read.");
    }

    public override async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_reading);
        _stop.Dispose();
    }

    // The task fails if its record was not acknowledged.
    private async Task WriteAsync()
    {
        var config = new ProducerConfig { BootstrapServers = _target.Brokers, EnableIdempotence = true, LingerMs = 5 };
        _target.Login?.AddTo(config);
        using var producer = new ProducerBuilder<string, string>(config).Build();
        var written = new List<Task>();
        for (var number = 0; number < _target.Count; number++)
        {
            written.Add(producer.ProduceAsync(_target.Topic, new Message<string, string> { Key = $"{number}", Value = $"{number}" }));
            if (number % 20 == 19)
                await Task.Delay(TimeSpan.FromMilliseconds(15));
        }
        await Task.WhenAll(written);
    }

    private void Read()
    {
        var config = new ConsumerConfig
        {
            BootstrapServers = _target.Brokers,
            GroupId = _target.Topic,
            AutoOffsetReset = AutoOffsetReset.Earliest,
            SessionTimeoutMs = SessionMilliseconds,
            HeartbeatIntervalMs = 300,
            AutoCommitIntervalMs = 500,
            PartitionAssignmentStrategy = PartitionAssignmentStrategy.CooperativeSticky,
        };
        _target.Login?.AddTo(config);
        using var consumer = new ConsumerBuilder<Ignore, string>(config).Build();
        consumer.Subscribe(_target.Topic);
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                if (consumer.Consume(TimeSpan.FromMilliseconds(50)) is { } record)
                    _read[record.Message.Value] = 0;
            }
            catch (ConsumeException passing) when (!passing.Error.IsFatal)
            {
                // The library recovers by itself; a record that never arrives fails the test.
            }
        }
        consumer.Close();
    }
}
