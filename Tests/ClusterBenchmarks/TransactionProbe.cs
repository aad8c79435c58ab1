using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Runs;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>A producer of transactions of one record each. The record's partition is led by another broker than the coordinator's, which
/// replicates it, though. The transaction of each kill must be committed under the next epoch, and the one before it, too.</summary>
internal sealed class TransactionProbe : ICoordinatorProbe
{
    private const string Id = "failover";
    private const string Topic = "transactions";
    private const int Partitions = 6;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly ClusterClient _client;
    private readonly ClusterView _view;
    private readonly Guid _topicId;
    private ProducerIdentity _producer;
    private TopicPartition _partition = new(Topic, 0);
    private long _number;
    private int _committed;

    private TransactionProbe(ClusterClient client, Guid topicId, ProducerIdentity producer)
    {
        (_client, _topicId, _producer) = (client, topicId, producer);
        _view = new ClusterView(client.Patient, Topic, ClusterForBenchmarks.Silos);
    }

    /// <summary>Creates the topic and takes the transactional id.</summary>
    public static async Task<ICoordinatorProbe> StartAsync(ClusterClient client)
    {
        await client.Patient.CreateTopicAsync(new NewTopic(Topic, Partitions, ClusterForBenchmarks.Silos));
        var topicId = (await client.Patient.GetTopicAsync(Topic)).TopicId;
        var request = new InitTransactions { TransactionalId = Id, Timeout = TimeSpan.FromMinutes(1), RequestId = Guid.NewGuid() };
        InitTransactionsResult begun;
        using var patience = new CancellationTokenSource(Patience);
        while ((begun = await client.Patient.Transactions.SendAsync(request)).Error.Action() == ErrorAction.Retry)
            await Task.Delay(Pause, patience.Token);
        if (begun.Error != ErrorCode.None)
            throw new InvalidOperationException($"The transactional id was answered by {begun.Error}: {begun.Message}");
        return new TransactionProbe(client, topicId, begun.Producer);
    }

    public IReadOnlyList<string> Steps { get; } = ["begin", "append", "commit"];

    public async Task<int> PrepareAsync(int kill)
    {
        // The silo that was killed before serves again, and all replicas are in sync.
        await _view.WellAsync(Patience, CancellationToken.None);
        using var patience = new CancellationTokenSource(Patience);
        for (var step = 0; step < Steps.Count; step++)
        {
            while (await TryAsync(step) is var (error, message) && error != ErrorCode.None)
            {
                if (!IsPassing(error))
                    throw new InvalidOperationException($"The {Steps[step]} of a transaction was answered by {error}: {message}");
                await Task.Delay(Pause, patience.Token);
            }
        }
        var coordinator = await _client.Patient.Transactions.FindCoordinatorAsync(Id);
        var partitions = await _view.WellAsync(Patience, CancellationToken.None);
        if (partitions.FirstOrDefault(partition => partition.Leader != coordinator) is not { } other)
            throw new InvalidOperationException($"The coordinator's broker, {coordinator}, leads all partitions: run it again.");
        _partition = new TopicPartition(Topic, other.Partition);
        return coordinator;
    }

    public async Task<(ErrorCode Error, string? Message)> TryAsync(int step) => step switch
    {
        0 => await BeginAsync(),
        1 => await AppendAsync(),
        _ => await CommitAsync(),
    };

    public bool IsPassing(ErrorCode error) => error.Action() == ErrorAction.Retry;

    public async Task CheckAsync(int kill)
    {
        // One before each kill, one after it; each has raised the epoch by one.
        if (_committed != 2 * kill || _producer.ProducerEpoch != _committed)
            throw new InvalidOperationException($"After {_committed} commits and {kill} kills the epoch is {_producer.ProducerEpoch}.");
        using var patience = new CancellationTokenSource(Patience);
        long stable;
        while ((stable = await EndsAsync(IsolationLevel.ReadCommitted)) != await EndsAsync(IsolationLevel.ReadUncommitted))
            await Task.Delay(Pause, patience.Token);
        // A record and a marker each.
        if (stable != 2 * _committed)
            throw new InvalidOperationException($"After {_committed} commits {stable} records and markers are stable.");
    }

    private async Task<(ErrorCode Error, string? Message)> BeginAsync()
    {
        var added = await _client.Broker.Transactions.SendAsync(new AddToTransaction
        {
            TransactionalId = Id,
            Producer = _producer,
            Partitions = [new TransactionPartition(Topic, _partition.Partition, _topicId)],
            RaisesEpoch = true,
        });
        if (added.Error == ErrorCode.None)
            _number = added.Number;
        return (added.Error, added.Message);
    }

    private async Task<(ErrorCode Error, string? Message)> AppendAsync()
    {
        var appended = await _client.Broker.ProduceInTransactionAsync(_partition, Batch(), new BatchTransaction(Id, _number));
        return (appended.Error, appended.Message);
    }

    private async Task<(ErrorCode Error, string? Message)> CommitAsync()
    {
        var ended = await _client.Broker.Transactions.SendAsync(new EndTransaction
        {
            TransactionalId = Id,
            Producer = _producer,
            IsCommit = true,
            RaisesEpoch = true,
        });
        if (ended.Error == ErrorCode.None)
            (_producer, _committed) = (ended.Producer, _committed + 1);
        return (ended.Error, ended.Message);
    }

    // Of all partitions.
    private async Task<long> EndsAsync(IsolationLevel isolation)
    {
        var sum = 0L;
        for (var partition = 0; partition < Partitions; partition++)
        {
            sum += (await _client.Patient.FindOffsetAsync(new TopicPartition(Topic, partition),
                OffsetSpec.Latest with { Isolation = isolation })).Offset;
        }
        return sum;
    }

    // Each transaction has an epoch of its own, so that the sequence begins again.
    private Memory<byte> Batch()
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), default, false, "value"u8, true);
        builder.SetProducer(_producer.ProducerId, _producer.ProducerEpoch, 0, transactional: true);
        return builder.Build().ToArray();
    }
}
