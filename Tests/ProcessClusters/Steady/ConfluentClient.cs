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
    private readonly SemaphoreSlim _steps = new(0);
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

    public override void GoOn() => _steps.Release();

    public override Task UnderWayAsync() => ReadAsync(1000);

    public override Task ReadAsync(int count) =>
        AwaitAsync(() => _read.Count >= count, () => $"{_read.Count} of {count} records were read.");

    public override async Task EndAsync()
    {
        await _writing;
        await ReadAsync(_target.Count);
    }

    public override async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_reading);
        _stop.Dispose();
        _steps.Dispose();
    }

    // The task fails if its record was not acknowledged.
    private async Task WriteAsync()
    {
        var config = new ProducerConfig { BootstrapServers = _target.Brokers, EnableIdempotence = true, LingerMs = 5 };
        _target.Login?.AddTo(config);
        using var producer = new ProducerBuilder<string, string>(config)
            .SetOAuthBearerTokenRefreshHandler((client, _) => _target.Login!.SetToken(client)).Build();
        var stop = _stop.Token;
        var written = new List<Task>();
        for (var number = 0; number < _target.Count; number++)
        {
            if (_target.Holds.Contains(number))
                await _steps.WaitAsync(stop);
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
        using var consumer = new ConsumerBuilder<Ignore, string>(config)
            .SetOAuthBearerTokenRefreshHandler((client, _) => _target.Login!.SetToken(client)).Build();
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
