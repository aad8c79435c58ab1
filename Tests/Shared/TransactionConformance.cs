using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

/// <summary>The contract of <see cref="ITransactionCoordinator"/>, in process, over grains and over HTTP; one subclass for each
/// implementation. Tests may share a broker that is not empty, so each test uses its own topics, groups and transactional ids.</summary>
public abstract class TransactionConformance
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(1);

    /// <summary>The broker under test.</summary>
    protected abstract ValueTask<IBroker> BrokerAsync();

    [Fact]
    public async Task Committed_records_of_many_partitions_become_readable_together()
    {
        var (broker, topic) = await TopicAsync("committed", 3);
        var producer = await TestTransactions.InitAsync(broker, NewId());
        var number = await producer.AddAsync(topic, 0, 1, 2);
        for (var partition = 0; partition < 3; partition++)
            await producer.SendAsync(topic, partition, number, 0, $"v{partition}");
        Assert.Empty(await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
        Assert.Equal(["v0"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadUncommitted));

        await producer.EndAsync(isCommit: true);
        for (var partition = 0; partition < 3; partition++)
            Assert.Equal([$"v{partition}"], await ReadAsync(broker, topic, partition, IsolationLevel.ReadCommitted));
        Assert.Equal(TransactionPhase.CompleteCommit, (await producer.DescribeAsync()).Phase);
    }

    [Fact]
    public async Task Instance_whose_beginning_is_repeated_is_not_fenced_by_itself()
    {
        var (broker, topic) = await TopicAsync("repeated", 1);
        var request = new InitTransactions { TransactionalId = NewId(), Timeout = Timeout, RequestId = Guid.NewGuid() };
        var begun = await broker.Transactions.SendAsync(request);
        Assert.Equal(ErrorCode.None, begun.Error);
        Assert.Equal(begun, await broker.Transactions.SendAsync(request));
        var producer = new TestTransactions(broker, request.TransactionalId, begun.Producer);
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, "kept");
        Assert.Equal(begun, await broker.Transactions.SendAsync(request));
        await producer.EndAsync(isCommit: true);
        Assert.Equal(["kept"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
        var next = await broker.Transactions.SendAsync(request with { RequestId = Guid.NewGuid() });
        Assert.True(next.Producer.ProducerEpoch > begun.Producer.ProducerEpoch, $"{next}");
    }

    [Fact]
    public async Task Latest_of_committed_readers_is_the_last_stable_offset()
    {
        var (broker, topic) = await TopicAsync("latest");
        var partition = new TopicPartition(topic, 0);
        var producer = await TestTransactions.InitAsync(broker, NewId());
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(partition, TestBatches.Of("before"), Acks.All)).Error);
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, "open", "later");
        Assert.Equal((3, 1, 0), (await LatestAsync(IsolationLevel.ReadUncommitted), await LatestAsync(IsolationLevel.ReadCommitted),
            await FindAsync(OffsetSpec.Earliest, IsolationLevel.ReadCommitted)));
        Assert.Equal(1, await FindAsync(OffsetSpec.LatestProven, IsolationLevel.ReadCommitted));
        var later = OffsetSpec.AtOrAfter(TestBatches.FirstTimestamp + 1);
        Assert.Equal(2, await FindAsync(later, IsolationLevel.ReadUncommitted));
        Assert.Equal(-1, await FindAsync(later, IsolationLevel.ReadCommitted));
        await producer.EndAsync(isCommit: true);
        Assert.Equal((4, 4), (await LatestAsync(IsolationLevel.ReadUncommitted), await LatestAsync(IsolationLevel.ReadCommitted)));

        Task<long> LatestAsync(IsolationLevel isolation) => FindAsync(OffsetSpec.Latest, isolation);

        async Task<long> FindAsync(OffsetSpec spec, IsolationLevel isolation)
        {
            var found = await broker.FindOffsetAsync(partition, spec with { Isolation = isolation });
            Assert.Equal(ErrorCode.None, found.Error);
            return found.Offset;
        }
    }

    [Fact]
    public async Task Aborted_records_are_never_read_by_committed_readers()
    {
        var (broker, topic) = await TopicAsync("aborted");
        var producer = await TestTransactions.InitAsync(broker, NewId());
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, "gone");
        await producer.EndAsync(isCommit: false);
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 1, "kept");
        await producer.EndAsync(isCommit: true);
        Assert.Equal(["kept"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
        Assert.Equal(["gone", "kept"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadUncommitted));
    }

    [Fact]
    public async Task New_instance_fences_the_old_one_and_aborts_what_it_left()
    {
        var (broker, topic) = await TopicAsync("fenced");
        var id = NewId();
        var old = await TestTransactions.InitAsync(broker, id);
        await old.SendAsync(topic, 0, await old.AddAsync(topic, 0), 0, "left");
        var young = await TestTransactions.InitAsync(broker, id);
        Assert.Equal(old.Identity.ProducerId, young.Identity.ProducerId);
        Assert.True(young.Identity.ProducerEpoch > old.Identity.ProducerEpoch);

        Assert.Equal(ErrorCode.ProducerFenced, (await old.TryEndAsync(isCommit: true)).Error);
        Assert.Equal(ErrorCode.ProducerFenced, (await old.TryAddAsync(topic, 0)).Error);
        Assert.Equal(ErrorCode.InvalidProducerEpoch, (await old.TrySendAsync(topic, 0, 1, "late")).Error);
        Assert.Empty(await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
        await young.SendAsync(topic, 0, await young.AddAsync(topic, 0), 0, "young");
        await young.EndAsync(isCommit: true);
        Assert.Equal(["young"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
        Assert.Contains("new instance", (await young.DescribeAsync()).LastFence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Epoch_rises_with_each_transaction_where_the_producer_asks_for_it()
    {
        var (broker, topic) = await TopicAsync("epochs");
        var producer = await TestTransactions.InitAsync(broker, NewId());
        for (var round = 0; round < 3; round++)
        {
            var before = producer.Identity;
            await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, $"v{round}");
            await producer.EndAsync(isCommit: true, raisesEpoch: true);
            Assert.Equal(before with { ProducerEpoch = (short)(before.ProducerEpoch + 1) }, producer.Identity);
            // The answer was lost.
            Assert.Equal(producer.Identity, (await producer.TryEndAsync(isCommit: true, raisesEpoch: true, of: before)).Producer);
        }
        Assert.Equal(["v0", "v1", "v2"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
    }

    [Fact]
    public async Task Unknown_ids_and_wrong_states_are_refused_with_the_reason()
    {
        var (broker, topic) = await TopicAsync("refused");
        var unknown = new TestTransactions(broker, NewId(), new ProducerIdentity(1, 0));
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, (await unknown.TryAddAsync(topic, 0)).Error);
        Assert.Equal(ErrorCode.InvalidProducerIdMapping, (await unknown.TryEndAsync(isCommit: true)).Error);
        Assert.Equal(ErrorCode.TransactionalIdNotFound,
            (await Assert.ThrowsAsync<BrokerException>(unknown.DescribeAsync)).Code);

        var producer = await TestTransactions.InitAsync(broker, NewId());
        var nothing = await producer.TryEndAsync(isCommit: true);
        Assert.Equal(ErrorCode.InvalidTxnState, nothing.Error);
        Assert.Contains(producer.Id, nothing.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.TransactionAbortable, (await producer.TrySendAsync(topic, 0, 0, "unannounced")).Error);
        var empty = await broker.Transactions.SendAsync(new InitTransactions { TransactionalId = "", Timeout = Timeout });
        Assert.Equal(ErrorCode.InvalidRequest, empty.Error);
        foreach (var timeout in (TimeSpan[])[TimeSpan.Zero, TimeSpan.FromDays(1)])
        {
            var refused = await broker.Transactions.SendAsync(new InitTransactions { TransactionalId = producer.Id, Timeout = timeout });
            Assert.Equal(ErrorCode.InvalidTransactionTimeout, refused.Error);
            Assert.Contains("transaction.timeout.ms", refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Verification_adds_nothing()
    {
        var (broker, topic) = await TopicAsync("verified", 2);
        var producer = await TestTransactions.InitAsync(broker, NewId());
        Assert.Equal(ErrorCode.TransactionAbortable, (await producer.TryAddAsync(topic, 0, verifyOnly: true)).Error);
        var number = await producer.AddAsync(topic, 0);
        Assert.Equal((ErrorCode.None, number), await NumberAsync(0));
        Assert.Equal(ErrorCode.TransactionAbortable, (await NumberAsync(1)).Error);
        Assert.Equal([0], (await producer.DescribeAsync()).Partitions.Select(static partition => partition.Partition));

        async Task<(ErrorCode Error, long Number)> NumberAsync(int partition)
        {
            var answer = await producer.TryAddAsync(topic, partition, verifyOnly: true);
            return (answer.Error, answer.Number);
        }
    }

    [Fact]
    public async Task Offsets_of_a_transaction_take_effect_with_its_commit()
    {
        var (broker, topic) = await TopicAsync("offsets");
        var producer = await TestTransactions.InitAsync(broker, NewId());
        var group = NewName("group");
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, "out");
        Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync(group, topic, 0, 7));
        Assert.Null(await OffsetAsync(broker, group, topic));
        await producer.EndAsync(isCommit: true);
        Assert.Equal(7, await OffsetAsync(broker, group, topic));

        Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync(group, topic, 0, 9));
        await producer.EndAsync(isCommit: false);
        Assert.Equal(7, await OffsetAsync(broker, group, topic));
    }

    [Fact]
    public async Task Operator_aborts_an_open_transaction()
    {
        var (broker, topic) = await TopicAsync("operator");
        var producer = await TestTransactions.InitAsync(broker, NewId());
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, "open");
        Assert.Contains(await broker.Transactions.ListTransactionsAsync(),
            listing => listing is { Phase: TransactionPhase.Ongoing, StartedAt: not null } && listing.TransactionalId == producer.Id);
        var aborted = await broker.Transactions.SendAsync(new AbortTransaction(producer.Id, new TransactionCaller("ops")));
        Assert.Equal(TransactionPhase.CompleteAbort, aborted.Phase);
        Assert.Contains("ops", aborted.LastFence, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.ProducerFenced, (await producer.TryEndAsync(isCommit: true)).Error);
        Assert.Equal(ErrorCode.InvalidTxnState, await RefusedAbortAsync(broker, new AbortTransaction(producer.Id)));
        Assert.Empty(await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
    }

    [Fact]
    public async Task Repeated_abort_of_an_operator_aborts_no_later_transaction()
    {
        var (broker, topic) = await TopicAsync("repeated");
        var producer = await TestTransactions.InitAsync(broker, NewId());
        var number = await producer.AddAsync(topic, 0);
        var abort = new AbortTransaction(producer.Id, Number: number);
        Assert.Equal((TransactionPhase.CompleteAbort, number), PhaseOf(await broker.Transactions.SendAsync(abort)));
        Assert.Equal((TransactionPhase.CompleteAbort, number), PhaseOf(await broker.Transactions.SendAsync(abort)));

        var next = await TestTransactions.InitAsync(broker, producer.Id);
        await next.SendAsync(topic, 0, await next.AddAsync(topic, 0), 0, "next");
        Assert.Equal(ErrorCode.InvalidTxnState, await RefusedAbortAsync(broker, abort));
        await next.EndAsync(isCommit: true);
        Assert.Equal(["next"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
        var committed = await next.DescribeAsync();
        Assert.Equal(TransactionPhase.CompleteCommit, committed.Phase);
        Assert.Equal(ErrorCode.InvalidTxnState, await RefusedAbortAsync(broker, abort with { Number = committed.Number }));
    }

    private static (TransactionPhase Phase, long Number) PhaseOf(TransactionDescription described) => (described.Phase, described.Number);

    private static async Task<ErrorCode> RefusedAbortAsync(IBroker broker, AbortTransaction abort) =>
        (await Assert.ThrowsAsync<BrokerException>(async () => await broker.Transactions.SendAsync(abort))).Code;

    [Fact]
    public async Task End_that_comes_late_ends_no_later_transaction()
    {
        var (broker, topic) = await TopicAsync("overtaken");
        var producer = await TestTransactions.InitAsync(broker, NewId());
        var number = await producer.AddAsync(topic, 0);
        await producer.SendAsync(topic, 0, number, 0, "first");
        await producer.EndAsync(isCommit: true);
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 1, "second");
        var end = new EndTransaction { TransactionalId = producer.Id, Producer = producer.Identity, IsCommit = true, Number = number };
        // The first one was answered so.
        Assert.Equal(new EndTransactionResult(ErrorCode.None, producer.Identity), await broker.Transactions.SendAsync(end));
        Assert.Equal(ErrorCode.InvalidTxnState, (await broker.Transactions.SendAsync(end with { IsCommit = false })).Error);
        Assert.Equal(TransactionPhase.Ongoing, (await producer.DescribeAsync()).Phase);
        await producer.EndAsync(isCommit: false);
        Assert.Equal(["first"], await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
    }

    [Fact]
    public async Task Empty_transaction_that_is_aborted_is_not_the_one_that_was_committed_before()
    {
        var (broker, topic) = await TopicAsync("empty");
        var producer = await TestTransactions.InitAsync(broker, NewId());
        var number = await producer.AddAsync(topic, 0);
        await producer.EndAsync(isCommit: true, raisesEpoch: true);
        await producer.EndAsync(isCommit: false, raisesEpoch: true);
        Assert.Equal(TransactionPhase.CompleteAbort, (await producer.DescribeAsync()).Phase);
        Assert.Equal(ErrorCode.InvalidTxnState, await RefusedAbortAsync(broker, new AbortTransaction(producer.Id, Number: number)));
    }

    [Fact]
    public async Task Transaction_that_is_open_for_too_long_is_aborted()
    {
        var (broker, topic) = await TopicAsync("late");
        var producer = await TestTransactions.InitAsync(broker, NewId(), TimeSpan.FromMilliseconds(200));
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, "late");
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        while ((await producer.DescribeAsync()).Phase != TransactionPhase.CompleteAbort)
            await Task.Delay(20, patience.Token);
        Assert.Equal(ErrorCode.ProducerFenced, (await producer.TryEndAsync(isCommit: true)).Error);
        Assert.Empty(await ReadAsync(broker, topic, 0, IsolationLevel.ReadCommitted));
        Assert.Contains("timeout", (await producer.DescribeAsync()).LastEnd, StringComparison.Ordinal);
    }

    private static string NewName(string test) => $"{test}-{Guid.NewGuid():N}";

    private static string NewId() => NewName("id");

    private async Task<(IBroker Broker, string Topic)> TopicAsync(string test, int partitions = 1)
    {
        var broker = await BrokerAsync();
        var name = NewName(test);
        await broker.CreateTopicAsync(new NewTopic(name, partitions));
        return (broker, name);
    }

    private static async Task<IReadOnlyList<string>> ReadAsync(IBroker broker, string topic, int partition, IsolationLevel isolation)
    {
        var read = await TestTransactions.ReadAllAsync(broker, topic, partition, isolation);
        Assert.NotNull(read);
        return read;
    }

    private static async Task<long?> OffsetAsync(IBroker broker, string group, string topic)
    {
        var fetched = await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = group, Partitions = [new(topic, 0)] });
        Assert.Equal(ErrorCode.None, fetched.Error);
        return fetched.Partitions[0].Offset?.Offset;
    }
}
