using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Access;

/// <summary>Callers from outside name transactions that the coordinator does not know so: nothing of them stays.</summary>
public sealed class ForgedTransactionTests : IAsyncLifetime
{
    private const string Topic = "orders";
    private static readonly TopicPartition Partition = new(Topic, 0);
    private readonly List<string> _calls = [];
    private LocalBroker _local = null!;
    private HeldCoordinator _coordinator = null!;
    private IBroker _outside = null!;
    private TestTransactions _producer = null!;

    public async Task InitializeAsync()
    {
        _local = await LocalBroker.OpenAsync(new BrokerOptions { FileSystem = new MemoryFileSystem(), DataDirectory = "/data" });
        _coordinator = new HeldCoordinator(CallRecorder.Of(_local, _calls));
        _outside = new BrokerAccess(_coordinator).Open(new BrokerSession(BrokerSession.Anonymous, "", "", "",
            SessionProtocol.Http)).Broker;
        await _outside.CreateTopicAsync(new NewTopic(Topic, 2));
        _producer = await TestTransactions.InitAsync(_outside, "id");
    }

    public async Task DisposeAsync() => await _local.DisposeAsync();

    [Fact]
    public async Task Batch_with_a_made_up_number_is_refused_and_stalls_no_committed_reader()
    {
        var forged = await _producer.TrySendFirstAsync(Topic, 0, long.MaxValue, 0, "forged");
        Assert.Equal(ErrorCode.TransactionAbortable, forged.Error);
        Assert.Contains("no open transaction", forged.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.None, (await _outside.ProduceAsync(Partition, TestBatches.Of("plain"), Acks.All)).Error);
        Assert.Equal(["plain"], await TestTransactions.ReadAllAsync(_outside, Topic, 0, IsolationLevel.ReadCommitted));
    }

    [Fact]
    public async Task Batch_of_a_partition_that_was_not_added_is_refused()
    {
        var number = await _producer.AddAsync(Topic, 1);
        Assert.Equal(ErrorCode.TransactionAbortable, (await _producer.TrySendFirstAsync(Topic, 0, number, 0, "a")).Error);
        Assert.Equal(ErrorCode.TransactionAbortable, (await _producer.TrySendFirstAsync(Topic, 1, number + 1, 0, "a")).Error);
        Assert.Equal(ErrorCode.None, (await _producer.TrySendFirstAsync(Topic, 1, number, 0, "a")).Error);
    }

    [Fact]
    public async Task Batch_of_a_producer_that_is_not_the_ids_is_refused()
    {
        var number = await _producer.AddAsync(Topic, 0);
        var other = new TestTransactions(_outside, "id", _producer.Identity with { ProducerId = 4711 });
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, (await other.TrySendFirstAsync(Topic, 0, number, 0, "a")).Error);
        var fenced = new TestTransactions(_outside, "id", _producer.Identity with { ProducerEpoch = 7 });
        Assert.Equal(ErrorCode.InvalidProducerEpoch, (await fenced.TrySendFirstAsync(Topic, 0, number, 0, "a")).Error);
        var unknown = new TestTransactions(_outside, "unknown", _producer.Identity);
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, (await unknown.TrySendFirstAsync(Topic, 0, number, 0, "a")).Error);
    }

    [Fact]
    public async Task Coordinator_is_asked_once_for_the_batches_of_a_partition()
    {
        var number = await _producer.AddAsync(Topic, 0);
        _calls.Clear();
        for (var sequence = 0; sequence < 3; sequence++)
            await _producer.SendAsync(Topic, 0, number, sequence, "a");
        Assert.Equal(1, _calls.Count(static call => call == nameof(ITransactionCoordinator.SendAsync)));
    }

    [Fact]
    public async Task Batches_that_are_sent_at_once_begin_the_transaction_in_their_order()
    {
        var number = await _producer.AddAsync(Topic, 0);
        var isAsked = new TaskCompletionSource();
        var answer = new TaskCompletionSource();
        _coordinator.Before = () =>
        {
            isAsked.TrySetResult();
            return answer.Task;
        };
        var first = _producer.TrySendFirstAsync(Topic, 0, number, 0, "0");
        await isAsked.Task;
        Task<ProduceResult>[] sent = [first, .. Enumerable.Range(1, 4).Select(sequence =>
            _producer.TrySendFirstAsync(Topic, 0, number, sequence, $"{sequence}"))];
        answer.SetResult();
        Assert.All(await Task.WhenAll(sent), static result => Assert.Equal(ErrorCode.None, result.Error));
        await _producer.EndAsync(isCommit: true);
        Assert.Equal(["0", "1", "2", "3", "4"], await TestTransactions.ReadAllAsync(_outside, Topic, 0, IsolationLevel.ReadCommitted));
    }

    /// <summary>Where another broker leads the partition, the door cannot see what is open there.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Batch_is_offered_to_its_partition_once(bool isServedHere)
    {
        var outside = isServedHere ? ServedHere() : _outside;
        var producer = await TestTransactions.InitAsync(outside, "other");
        for (var transaction = 0; transaction < 2; transaction++)
        {
            var number = await producer.AddAsync(Topic, 0);
            _calls.Clear();
            for (var batch = 0; batch < 3; batch++)
                await producer.SendAsync(Topic, 0, number, transaction * 3 + batch, "a");
            Assert.Equal(3, _calls.Count(static call => call == nameof(IBroker.ProduceInTransactionAsync)));
            Assert.Equal(1, _calls.Count(static call => call == nameof(ITransactionCoordinator.SendAsync)));
            await producer.EndAsync(isCommit: transaction == 0);
        }
        Assert.Equal(["a", "a", "a"], await TestTransactions.ReadAllAsync(outside, Topic, 0, IsolationLevel.ReadCommitted));
    }

    [Fact]
    public async Task Batches_that_waited_for_the_first_are_appended_together()
    {
        var number = await _producer.AddAsync(Topic, 0);
        var (isAsked, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        _coordinator.Before = () =>
        {
            isAsked.TrySetResult();
            return answer.Task;
        };
        // Each append but the first ends when all have begun.
        var (begun, all) = (0, new TaskCompletionSource());
        _coordinator.Appended = () =>
        {
            if (Interlocked.Increment(ref begun) == 4)
                all.SetResult();
            return Volatile.Read(ref begun) == 1 ? Task.CompletedTask : all.Task;
        };
        var first = _producer.TrySendFirstAsync(Topic, 0, number, 0, "0");
        await isAsked.Task;
        Task<ProduceResult>[] sent = [first, .. Enumerable.Range(1, 3).Select(sequence =>
            _producer.TrySendFirstAsync(Topic, 0, number, sequence, $"{sequence}"))];
        answer.SetResult();
        Assert.All(await Task.WhenAll(sent).WaitAsync(TimeSpan.FromSeconds(30)),
            static result => Assert.Equal(ErrorCode.None, result.Error));
        await _producer.EndAsync(isCommit: true);
        Assert.Equal(["0", "1", "2", "3"], await TestTransactions.ReadAllAsync(_outside, Topic, 0, IsolationLevel.ReadCommitted));
    }

    [Fact]
    public async Task Late_batches_of_an_ended_transaction_are_refused()
    {
        var producer = _producer.Over(ServedHere());
        var number = await producer.AddAsync(Topic, 0);
        await producer.SendAsync(Topic, 0, number, 0, "0");
        await producer.EndAsync(isCommit: true, raisesEpoch: false);
        var late = await Task.WhenAll(Enumerable.Range(1, 3).Select(sequence =>
            producer.TrySendFirstAsync(Topic, 0, number, sequence, $"{sequence}")));
        Assert.All(late, static result => Assert.Equal(ErrorCode.TransactionAbortable, result.Error));
        Assert.Equal(["0"], await TestTransactions.ReadAllAsync(_outside, Topic, 0, IsolationLevel.ReadCommitted));
    }

    [Fact]
    public async Task Offsets_with_a_made_up_transaction_are_refused_and_leave_nothing_pending()
    {
        Assert.Equal(ErrorCode.TransactionAbortable, await CommitAsync(new TransactionOffsetCommit
        {
            GroupId = "group",
            TransactionalId = "id",
            Producer = _producer.Identity,
            Number = long.MaxValue,
            Offsets = [new PartitionOffset(Topic, 0, new CommittedOffset(1))],
        }));
        Assert.Equal(ErrorCode.None, await _producer.CommitOffsetAsync("group", Topic, 1, 1));
        var added = (await _producer.DescribeAsync()).Number;
        var genuine = new TransactionOffsetCommit
        {
            GroupId = "group",
            TransactionalId = "id",
            Producer = _producer.Identity,
            Number = added,
            Offsets = [new PartitionOffset(Topic, 1, new CommittedOffset(2))],
        };
        Assert.Equal(ErrorCode.TransactionAbortable, await CommitAsync(genuine with { Number = added + 1 }));
        Assert.Equal(ErrorCode.TransactionAbortable, await CommitAsync(genuine with { GroupId = "other" }));
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, await CommitAsync(genuine with { Producer = new ProducerIdentity(4711, 0) }));
        Assert.Equal(ErrorCode.InvalidProducerEpoch,
            await CommitAsync(genuine with { Producer = genuine.Producer with { ProducerEpoch = 7 } }));
        Assert.Equal(ErrorCode.None, await CommitAsync(genuine));
        await _producer.EndAsync(isCommit: true);
        foreach (var (group, offset) in ((string, long?)[])[("group", 2), ("other", null)])
        {
            var fetched = (await _outside.Groups.FetchOffsetsAsync(new OffsetFetch
            {
                GroupId = group,
                Partitions = [new TopicPartition(Topic, 1)],
                RequireStable = true,
            })).Partitions;
            Assert.Equal((ErrorCode.None, offset), (fetched[0].Error, fetched[0].Offset?.Offset));
        }
    }

    // The door of the broker that leads the partitions.
    private IBroker ServedHere() => new BrokerAccess(_coordinator, _local).Open(new BrokerSession(BrokerSession.Anonymous, "", "", "",
        SessionProtocol.Orleans)).Broker;

    /// <summary>A broker whose coordinator of transactions can be held.</summary>
    private sealed class HeldCoordinator(IBroker inner) : ForwardingBroker(inner), ITransactionCoordinator
    {
        private readonly ITransactionCoordinator _transactions = inner.Transactions;

        /// <summary>Awaited before each request.</summary>
        public Func<Task> Before { get; set; } = static () => Task.CompletedTask;

        /// <summary>Awaited after each append of a transaction.</summary>
        public Func<Task> Appended { get; set; } = static () => Task.CompletedTask;

        public override ITransactionCoordinator Transactions => this;

        public override async ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch,
            BatchTransaction transaction, CancellationToken cancellationToken = default)
        {
            var result = await base.ProduceInTransactionAsync(partition, batch, transaction, cancellationToken);
            await Appended();
            return result;
        }

        public async ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken)
        {
            await Before();
            return await _transactions.SendAsync(request, cancellationToken);
        }

        public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken) =>
            _transactions.FindCoordinatorAsync(transactionalId, cancellationToken);

        public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken) =>
            _transactions.ListTransactionsAsync(cancellationToken);
    }

    private async Task<ErrorCode> CommitAsync(TransactionOffsetCommit commit) =>
        (await _outside.Groups.SendAsync(commit)).Partitions[0].Error;
}
