using System.Text;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Tests.Shared;

/// <summary>A producer of transactions at the broker API.</summary>
internal sealed class TestTransactions(IBroker broker, string id, ProducerIdentity identity)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>The transactional id.</summary>
    public string Id => id;

    /// <summary>The producer's identity, for the next transaction.</summary>
    public ProducerIdentity Identity { get; private set; } = identity;

    private long _number;

    /// <summary>Begins as a new instance.</summary>
    public static async Task<TestTransactions> InitAsync(IBroker broker, string id, TimeSpan? timeout = null)
    {
        InitTransactionsResult answer;
        var request = new InitTransactions
        {
            TransactionalId = id,
            Timeout = timeout ?? TimeSpan.FromMinutes(1),
            Caller = new TransactionCaller("test"),
            RequestId = Guid.NewGuid(),
        };
        using var patience = new CancellationTokenSource(Patience);
        while ((answer = await broker.Transactions.SendAsync(request)).Error
            is ErrorCode.ConcurrentTransactions or ErrorCode.CoordinatorNotAvailable)
            await Task.Delay(5, patience.Token);
        Assert.True(answer.Error == ErrorCode.None, $"{answer.Error}: {answer.Message}");
        return new TestTransactions(broker, id, answer.Producer);
    }

    /// <summary>The same producer at another broker.</summary>
    public TestTransactions Over(IBroker other) => new(other, id, Identity) { _number = _number };

    /// <summary>Adds partitions of a topic. Asks again where the answer says so, as clients do.</summary>
    /// <returns>The transaction's number.</returns>
    public async Task<long> AddAsync(string topic, params int[] partitions)
    {
        var topicId = (await broker.GetTopicAsync(topic)).TopicId;
        AddToTransactionResult answer;
        using var patience = new CancellationTokenSource(Patience);
        while ((answer = await broker.Transactions.SendAsync(new AddToTransaction
        {
            TransactionalId = id,
            Producer = Identity,
            Partitions = [.. partitions.Select(partition => new TransactionPartition(topic, partition, topicId))],
            Caller = new TransactionCaller("test"),
        })).Error.Action() == ErrorAction.Retry)
            await Task.Delay(5, patience.Token);
        Assert.True(answer.Error == ErrorCode.None, $"{answer.Error}: {answer.Message}");
        return _number = answer.Number;
    }

    /// <summary>Adds or verifies one partition, whatever comes of it.</summary>
    public async Task<AddToTransactionResult> TryAddAsync(string topic, int partition, bool verifyOnly = false) =>
        await broker.Transactions.SendAsync(new AddToTransaction
        {
            TransactionalId = id,
            Producer = Identity,
            Partitions = [new TransactionPartition(topic, partition, (await broker.GetTopicAsync(topic)).TopicId)],
            VerifyOnly = verifyOnly,
            Caller = new TransactionCaller("test"),
        });

    /// <summary>Sends the first batch of the transaction to a partition.</summary>
    public async Task SendAsync(string topic, int partition, long number, int sequence, params string[] values)
    {
        var produced = await TrySendFirstAsync(topic, partition, number, sequence, values);
        Assert.True(produced.Error == ErrorCode.None, $"{produced.Error}: {produced.Message}");
    }

    /// <summary>Sends the first batch of the transaction to a partition, whatever comes of it.</summary>
    public async Task<ProduceResult> TrySendFirstAsync(string topic, int partition, long number, int sequence, params string[] values) =>
        await broker.ProduceInTransactionAsync(new TopicPartition(topic, partition),
            TestBatches.InTransaction(Identity, sequence, values), new BatchTransaction(id, number));

    /// <summary>Sends a batch without a number.</summary>
    public async Task<ProduceResult> TrySendAsync(string topic, int partition, int sequence, string value) => await broker.ProduceAsync(
        new TopicPartition(topic, partition), TestBatches.InTransaction(Identity, sequence, value), Acks.All);

    /// <summary>Commits an offset of a group in the transaction.</summary>
    public async Task<ErrorCode> CommitOffsetAsync(string group, string topic, int partition, long offset)
    {
        var added = await broker.Transactions.SendAsync(new AddToTransaction
        {
            TransactionalId = id,
            Producer = Identity,
            Groups = [group],
            Caller = new TransactionCaller("test"),
        });
        if (added.Error != ErrorCode.None)
            return added.Error;
        _number = added.Number;
        var committed = await broker.Groups.SendAsync(new TransactionOffsetCommit
        {
            GroupId = group,
            TransactionalId = id,
            Producer = Identity,
            Number = added.Number,
            Offsets = [new PartitionOffset(topic, partition, new CommittedOffset(offset))],
        });
        return committed.Partitions[0].Error;
    }

    /// <summary>Ends the transaction, and waits until all partitions know.</summary>
    public async Task EndAsync(bool isCommit, bool raisesEpoch = false)
    {
        var answer = await TryEndAsync(isCommit, raisesEpoch);
        Assert.True(answer.Error == ErrorCode.None, $"{answer.Error}: {answer.Message}");
        Identity = answer.Producer;
    }

    /// <summary>Ends the transaction, whatever comes of it.</summary>
    public async Task<EndTransactionResult> TryEndAsync(bool isCommit, bool raisesEpoch = false, ProducerIdentity? of = null,
        bool waits = true) =>
        await broker.Transactions.SendAsync(new EndTransaction
        {
            TransactionalId = id,
            Producer = of ?? Identity,
            IsCommit = isCommit,
            RaisesEpoch = raisesEpoch,
            WaitsForMarkers = waits,
            // One that was never given out, where nothing was added.
            Number = raisesEpoch ? 0 : Math.Max(_number, 1),
            Caller = new TransactionCaller("test"),
        });

    /// <summary>Describes the transactional id.</summary>
    public async Task<TransactionDescription> DescribeAsync() => await broker.Transactions.SendAsync(new DescribeTransaction(id));

    /// <summary>Reads the values of a partition; null where it cannot be read at the moment.</summary>
    public static async Task<IReadOnlyList<string>?> ReadAllAsync(IBroker broker, string topic, int partition, IsolationLevel isolation)
    {
        var values = new List<string>();
        for (var offset = 0L; ;)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition(topic, partition), offset,
                Isolation: isolation));
            if (fetched.Error != ErrorCode.None)
                return null;
            if (fetched.Records.IsEmpty)
                return values;
            var (read, next) = Read(fetched);
            values.AddRange(read.Where(record => record.Offset >= offset).Select(static record => record.Value));
            offset = next;
        }
    }

    /// <summary>Reads the committed values of the first partitions of a topic, one partition after the other.</summary>
    public static async Task<List<string>> ReadCommittedAsync(IBroker broker, string topic, int partitions)
    {
        var values = new List<string>();
        for (var partition = 0; partition < partitions; partition++)
        {
            var read = await ReadAllAsync(broker, topic, partition, IsolationLevel.ReadCommitted);
            Assert.NotNull(read);
            values.AddRange(read);
        }
        return values;
    }

    private static (IReadOnlyList<(long Offset, string Value)> Values, long Next) Read(FetchResult fetched)
    {
        var next = -1L;
        for (var batches = fetched.Records.Span; batches.Length >= RecordBatchHeader.Size;)
        {
            var header = RecordBatchHeader.Read(batches);
            next = header.NextOffset;
            batches = batches[header.SizeInBytes..];
        }
        var values = new List<(long, string)>();
        using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
        while (reader.MoveNext())
        {
            if (!reader.Batch.IsControl)
                values.Add((reader.Current.Offset, Encoding.UTF8.GetString(reader.Current.Value!.Value.Span)));
        }
        return (values, next);
    }
}
