using OrleansMq.Brokers;
using OrleansMq.Client;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>A consumer of the client library that processes what it is given until it is killed, or stopped.</summary>
internal sealed class ChaosConsumer
{
    private readonly string _name;
    private readonly InboxProcessing _processing;
    private readonly MortalBroker _broker;
    private readonly IConsumer<Ignore, byte[]> _consumer;
    private readonly CancellationTokenSource _killed = new();
    private readonly CancellationTokenSource _stopped = new();
    private Task _running = Task.CompletedTask;
    private long _processed;

    public ChaosConsumer(string name, IBroker broker, string group, ConsumerGroupLoad load, InboxProcessing processing)
    {
        (_name, _processing, _broker) = (name, processing, new MortalBroker(broker));
        _consumer = new OrleansMqClient(_broker).CreateConsumer<Ignore, byte[]>(new ConsumerOptions
        {
            GroupId = group,
            AutoOffsetReset = AutoOffsetReset.Earliest,
            ClientId = name,
            SessionTimeout = load.SessionTimeout,
            AutoCommitInterval = TimeSpan.FromMilliseconds(500),
            DrainTimeout = TimeSpan.FromSeconds(5),
            RebalanceTimeout = TimeSpan.FromSeconds(20),
        });
        _consumer.Subscribe(load.Topic);
    }

    public string Name => _name;

    /// <summary>Records that it processed.</summary>
    public long Processed => Volatile.Read(ref _processed);

    /// <summary>What ended it; null while it runs, or where it was killed or stopped.</summary>
    public Exception? Failure { get; private set; }

    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>As SIGKILL: nothing is finished, committed or said.</summary>
    public void Kill()
    {
        _broker.Kill();
        _killed.Cancel();
    }

    /// <summary>In good order: what is done is committed.</summary>
    public async Task StopAsync()
    {
        await _stopped.CancelAsync();
        await _running;
        await _consumer.DisposeAsync();
    }

    private async Task RunAsync()
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(_killed.Token, _stopped.Token);
        try
        {
            while (true)
            {
                var record = await _consumer.ReadAsync(ended.Token);
                await _processing.ProcessAsync(record, _killed.Token);
                Interlocked.Increment(ref _processed);
            }
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            // Killed or stopped.
        }
        catch (Exception failure)
        {
            Failure = failure;
        }
    }
}
