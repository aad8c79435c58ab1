using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>The client's transactions over a real broker; one subclass for each way to reach it. Tests may share the broker, so each test
/// uses its own topics, groups and ids.</summary>
public abstract class TransactionEndToEnd
{
    private static readonly TransactionalProducerOptions Readable = new() { WaitUntilReadable = true };

    protected abstract OrleansMqClient Client { get; }

    [Fact]
    public async Task Records_of_several_topics_and_types_count_with_the_commit()
    {
        var (orders, audit) = (await TopicAsync(3), await TopicAsync());
        await using var producer = Client.CreateTransactionalProducer<string, string>(NewName("id"), Readable);
        await using var transaction = await producer.BeginTransactionAsync();
        for (var i = 0; i < 30; i++)
            await transaction.EnqueueAsync(new(orders, $"k{i}", $"v{i}"));
        await using var others = transaction.ProducerOf<long, string>();
        var report = await others.SendAsync(new(audit, 7, "thirty orders"));
        Assert.Equal(0, report.Offset);
        Assert.Empty(await CommittedAsync(audit));
        await transaction.CommitAsync();

        Assert.Equal(Enumerable.Range(0, 30).Select(static i => $"v{i}").Order(), (await CommittedAsync(orders, 3)).Order());
        Assert.Equal(["thirty orders"], await CommittedAsync(audit));
    }

    [Fact]
    public async Task Aborted_and_disposed_transactions_leave_nothing()
    {
        var topic = await TopicAsync();
        await using var producer = Client.CreateTransactionalProducer<string, string>(NewName("id"), Readable);
        await using (var aborted = await producer.BeginTransactionAsync())
        {
            await aborted.SendAsync(new(topic, "k", "aborted"));
            await aborted.AbortAsync();
        }
        await using (var disposed = await producer.BeginTransactionAsync())
            await disposed.SendAsync(new(topic, "k", "disposed"));
        await using (var empty = await producer.BeginTransactionAsync())
            await empty.CommitAsync();
        await using (var committed = await producer.BeginTransactionAsync())
        {
            await committed.EnqueueAsync(new(topic, "k", "committed"));
            await committed.CommitAsync();
        }
        Assert.Equal(["committed"], await CommittedAsync(topic));
    }

    [Fact]
    public async Task Transactions_follow_one_another_and_nothing_is_lost_or_doubled()
    {
        var topic = await TopicAsync(2);
        await using var producer = Client.CreateTransactionalProducer<int, int>(NewName("id"), Readable);
        var expected = new List<int>();
        for (var round = 0; round < 50; round++)
        {
            await using var transaction = await producer.BeginTransactionAsync();
            for (var i = 0; i < 20; i++)
                await transaction.EnqueueAsync(new(topic, i, (round * 20) + i) { Partition = i % 2 });
            if (round % 3 == 2)
                continue;
            await transaction.CommitAsync();
            expected.AddRange(Enumerable.Range(round * 20, 20));
        }
        await using var reader = Client.CreatePartitionReader<int, int>(new ReaderOptions { Isolation = IsolationLevel.ReadCommitted });
        for (var partition = 0; partition < 2; partition++)
        {
            reader.Assign(new TopicPartition(topic, partition), ReadFrom.Earliest);
            foreach (var value in expected.Where(value => value % 2 == partition))
                Assert.Equal(value, (await reader.ReadAsync().SoonAsync()).Value);
            reader.Unassign(new TopicPartition(topic, partition));
        }
    }

    [Fact]
    public async Task New_instance_fences_the_old_one_which_learns_of_it()
    {
        var topic = await TopicAsync();
        var id = NewName("id");
        await using var old = Client.CreateTransactionalProducer<string, string>(id, Readable);
        await using var left = await old.BeginTransactionAsync();
        await left.SendAsync(new(topic, "k", "left"));
        await using var young = Client.CreateTransactionalProducer<string, string>(id, Readable);
        await using var next = await young.BeginTransactionAsync();
        await next.EnqueueAsync(new(topic, "k", "young"));
        await next.CommitAsync();

        var fenced = await Assert.ThrowsAsync<ProducerFencedException>(() => left.CommitAsync());
        Assert.Contains(id, fenced.Message, StringComparison.Ordinal);
        Assert.Contains("new instance", fenced.Message, StringComparison.Ordinal);
        await left.DisposeAsync();
        await Assert.ThrowsAsync<ProducerFencedException>(async () => await old.BeginTransactionAsync());
        Assert.Equal(["young"], await CommittedAsync(topic));
    }

    [Fact]
    public async Task Record_that_is_not_delivered_fails_the_commit_whether_or_not_its_sender_looks()
    {
        var topic = await TopicAsync();
        await using var producer = Client.CreateTransactionalProducer<string, string>(NewName("id"), Readable);
        await using (var missing = await producer.BeginTransactionAsync())
        {
            await missing.EnqueueAsync(new(topic, "k", "with the missing one"));
            missing.Send(new(topic, "k", "nowhere") { Partition = 77 });
            var failure = await Assert.ThrowsAsync<TransactionException>(() => missing.CommitAsync());
            Assert.Equal(ErrorCode.UnknownTopicOrPartition, failure.Code);
            Assert.Contains("77", failure.Message, StringComparison.Ordinal);
            await Assert.ThrowsAsync<InvalidOperationException>(() => missing.CommitAsync());
        }
        await using (var large = await producer.BeginTransactionAsync())
        {
            await large.EnqueueAsync(new(topic, "k", "with the large one"));
            var unseen = large.SendAsync(new(topic, "k", new string('x', 2_000_000)));
            var failure = await Assert.ThrowsAsync<TransactionException>(() => large.CommitAsync());
            Assert.Equal(ErrorCode.MessageTooLarge, failure.Code);
            await Assert.ThrowsAsync<ProduceException>(async () => await unseen);
        }
        await using (var good = await producer.BeginTransactionAsync())
        {
            await good.EnqueueAsync(new(topic, "k", "good"));
            await good.CommitAsync();
        }
        Assert.Equal(["good"], await CommittedAsync(topic));
    }

    [Fact]
    public async Task Transaction_that_is_open_for_too_long_is_refused_and_the_next_one_works()
    {
        var topic = await TopicAsync();
        var id = NewName("id");
        // The first and the next transaction end within it, also on a machine that pauses.
        await using var producer = Client.CreateTransactionalProducer<string, string>(id,
            Readable with { TransactionTimeout = TimeSpan.FromSeconds(15) });
        await using (var first = await producer.BeginTransactionAsync())
        {
            await first.SendAsync(new(topic, "k", "first"));
            await first.CommitAsync();
        }
        await using (var late = await producer.BeginTransactionAsync())
        {
            await late.SendAsync(new(topic, "k", "late"));
            using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
            while ((await Client.Broker.Transactions.SendAsync(new DescribeTransaction(id))).Phase != TransactionPhase.CompleteAbort)
                await Task.Delay(20, patience.Token);
            var failure = await Assert.ThrowsAsync<TransactionException>(() => late.CommitAsync());
            Assert.Contains("timeout", failure.Message, StringComparison.Ordinal);
        }
        await using (var next = await producer.BeginTransactionAsync())
        {
            await next.SendAsync(new(topic, "k", "next"));
            await next.CommitAsync();
        }
        Assert.Equal(["first", "next"], await CommittedAsync(topic));
    }

    [Fact]
    public async Task Positions_of_a_consumer_are_committed_with_the_transaction_and_not_without()
    {
        var (input, output, group) = (await TopicAsync(), await TopicAsync(), NewName("group"));
        await SendAsync(input, 0, 3);
        await using var producer = Client.CreateTransactionalProducer<int, string>(NewName("id"), Readable);
        await using var consumer = Client.CreateConsumer<int, int>(Options(group) with { AutoCommit = false });
        consumer.Subscribe(input);
        var partition = new TopicPartition(input, 0);
        var first = await consumer.ReadAsync().SoonAsync();
        await using (var aborted = await producer.BeginTransactionAsync())
        {
            await aborted.EnqueueAsync(new(output, first.Key, $"{first.Value}"));
            await aborted.SendOffsetsAsync(consumer);
        }
        Assert.Empty(await consumer.GetCommittedAsync([partition]));
        var second = await consumer.ReadAsync().SoonAsync();
        await using (var committed = await producer.BeginTransactionAsync())
        {
            await committed.EnqueueAsync(new(output, second.Key, $"{second.Value}"));
            await committed.SendOffsetsAsync(consumer);
            await committed.CommitAsync();
        }
        Assert.Equal(2, (await consumer.GetCommittedAsync([partition]))[partition].Offset);
        Assert.Equal([1], await CommittedNumbersAsync(output));
    }

    [Fact]
    public async Task Committed_reader_ends_at_the_last_stable_offset_past_the_markers()
    {
        var topic = await TopicAsync();
        await using var producer = Client.CreateTransactionalProducer<string, string>(NewName("id"), Readable);
        await using (var committed = await producer.BeginTransactionAsync())
        {
            await committed.SendAsync(new(topic, "k", "v"));
            await committed.CommitAsync();
        }
        await using (var aborted = await producer.BeginTransactionAsync())
            await aborted.SendAsync(new(topic, "k", "aborted"));
        await using var open = await producer.BeginTransactionAsync();
        await open.SendAsync(new(topic, "k", "open"));
        var partition = new TopicPartition(topic, 0);
        await using var reader = Client.CreatePartitionReader<string, string>(
            new ReaderOptions { Isolation = IsolationLevel.ReadCommitted });
        reader.Assign(partition, ReadFrom.Earliest);
        Assert.Equal("v", (await reader.ReadAsync().SoonAsync()).Value);
        // A record and a marker, twice.
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while (await reader.GetPositionAsync(partition, deadline.Token) < 4)
            Assert.Null(await reader.ReadAsync(TimeSpan.FromMilliseconds(20), deadline.Token));
        Assert.Equal(4, reader.GetHighWatermark(partition));
    }

    [Fact]
    public async Task Offsets_of_a_stranger_fail_the_transaction()
    {
        var (topic, group) = (await TopicAsync(), NewName("group"));
        await SendAsync(topic, 0, 1);
        await using var consumer = Client.CreateConsumer<int, int>(Options(group));
        consumer.Subscribe(topic);
        await consumer.ReadAsync().SoonAsync();
        await using var producer = Client.CreateTransactionalProducer<int, int>(NewName("id"), Readable);
        await using var transaction = await producer.BeginTransactionAsync();
        var automatic = await Assert.ThrowsAsync<InvalidOperationException>(() => transaction.SendOffsetsAsync(consumer));
        Assert.Contains("AutoCommit", automatic.Message, StringComparison.Ordinal);
        var stranger = consumer.GroupMetadata with { MemberId = "nobody" };
        await Assert.ThrowsAsync<CommitFencedException>(() => transaction.SendOffsetsAsync(stranger,
            [new TopicPartitionOffset(new TopicPartition(topic, 0), 1)]));
        await Assert.ThrowsAsync<TransactionException>(() => transaction.CommitAsync());
    }

    [Fact]
    public async Task Wrong_use_is_refused_with_the_fix()
    {
        var topic = await TopicAsync();
        await using var producer = Client.CreateTransactionalProducer<string, string>(NewName("id"));
        await using var transaction = await producer.BeginTransactionAsync();
        var second = await Assert.ThrowsAsync<InvalidOperationException>(async () => await producer.BeginTransactionAsync());
        Assert.Contains("dispose it", second.Message, StringComparison.Ordinal);
        await transaction.CommitAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await transaction.SendAsync(new(topic, "k", "late")));
        await Assert.ThrowsAsync<InvalidOperationException>(() => transaction.AbortAsync());
        Assert.Throws<ArgumentException>(() => Client.CreateTransactionalProducer<string, string>(""));
        Assert.Throws<ArgumentException>(() => Client.CreateTransactionalProducer<string, string>("id",
            new TransactionalProducerOptions { TransactionTimeout = TimeSpan.Zero }));
        await using var tooLong = Client.CreateTransactionalProducer<string, string>(NewName("id"),
            new TransactionalProducerOptions { TransactionTimeout = TimeSpan.FromDays(1) });
        var refused = await Assert.ThrowsAsync<TransactionException>(async () => await tooLong.BeginTransactionAsync());
        Assert.Equal(ErrorCode.InvalidTransactionTimeout, refused.Code);
    }

    [Fact]
    public async Task Records_are_processed_exactly_once_though_handlers_fail_and_loops_come_and_go()
    {
        const int Count = 1200;
        var (input, output, group) = (await TopicAsync(4), await TopicAsync(2), NewName("group"));
        await SendAsync(input, 0, Count / 2);
        var random = new Random(4711);
        var handled = new ConcurrentDictionary<int, int>();
        await using (var first = new Loop(Client, group, input, HandleAsync))
        {
            await Wait.UntilAsync(() => handled.Count > 100, "the first loop has begun");
            await using var second = new Loop(Client, group, input, HandleAsync);
            await SendAsync(input, Count / 2, Count / 2);
            await Wait.UntilAsync(() => handled.Count > Count * 2 / 3, "two loops go on");
            await first.DisposeAsync();
            await Wait.UntilAsync(() => handled.Count == Count, "all records were handled");
            await UntilCommittedAsync(group, input, Count);
        }
        Assert.Equal(Enumerable.Range(0, Count), (await CommittedNumbersAsync(output, 2)).Order());
        Assert.Contains(handled.Values, static times => times > 1);

        async ValueTask<IEnumerable<ProducerRecord<int, string>>> HandleAsync(ConsumeResult<int, int> record, CancellationToken stopping)
        {
            handled.AddOrUpdate(record.Value, 1, static (_, times) => times + 1);
            if (record.Value % 97 == 0)
                await Task.Delay(5, stopping);
            lock (random)
            {
                return random.Next(80) == 0 ? throw new InvalidOperationException("The handler fails now and then.")
                    : [new(output, record.Key, $"{record.Value}")];
            }
        }
    }

    [Fact]
    public async Task Record_that_cannot_be_handled_ends_the_loop_with_the_cause_and_loses_nothing()
    {
        var (input, output, group) = (await TopicAsync(), await TopicAsync(), NewName("group"));
        await SendAsync(input, 0, 10);
        var attempts = 0;
        var failure = await Assert.ThrowsAsync<InvalidDataException>(() => Client.ProcessAsync<int, int, int, string>(Options(group),
            new TransactionalProcessingOptions { Topics = [input], MaxAttempts = 3, Producer = Readable },
            (record, _) => record.Value == 5 && ++attempts > 0 ? throw new InvalidDataException("five")
                : new([new(output, record.Key, $"{record.Value}")])).SoonAsync());
        Assert.Equal("five", failure.Message);
        Assert.Equal(3, attempts);
        Assert.Equal([0, 1, 2, 3, 4], await CommittedNumbersAsync(output));
        var partition = new TopicPartition(input, 0);
        await using var consumer = Client.CreateConsumer<int, int>(Options(group));
        Assert.Equal(5, (await consumer.GetCommittedAsync([partition]))[partition].Offset);
    }

    private static string NewName(string kind) => $"{kind}-{Guid.NewGuid():n}";

    private static ConsumerOptions Options(string group) => new() { GroupId = group, AutoOffsetReset = AutoOffsetReset.Earliest };

    private async Task<string> TopicAsync(int partitions = 1)
    {
        var name = NewName("topic");
        await Client.Admin.CreateTopicAsync(name, partitions);
        return name;
    }

    private async Task SendAsync(string topic, int first, int count)
    {
        await using var producer = Client.CreateProducer<int, int>();
        for (var i = first; i < first + count; i++)
            await producer.EnqueueAsync(new(topic, i, i));
    }

    private Task<List<string>> CommittedAsync(string topic, int partitions = 1) =>
        TestTransactions.ReadCommittedAsync(Client.Broker, topic, partitions);

    private async Task<IEnumerable<int>> CommittedNumbersAsync(string topic, int partitions = 1) =>
        (await CommittedAsync(topic, partitions)).Select(int.Parse);

    private async Task UntilCommittedAsync(string group, string topic, int count)
    {
        await using var consumer = Client.CreateConsumer<int, int>(Options(group));
        var partitions = await Client.Admin.ListPartitionsAsync(topic);
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while ((await consumer.GetCommittedAsync(partitions, deadline.Token)).Values.Sum(static offset => offset.Offset) < count)
            await Task.Delay(20, deadline.Token);
    }

    /// <summary>A loop until it is disposed.</summary>
    private sealed class Loop : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _running;

        public Loop(OrleansMqClient client, string group, string topic,
            Func<ConsumeResult<int, int>, CancellationToken, ValueTask<IEnumerable<ProducerRecord<int, string>>>> handle) =>
            _running = client.ProcessAsync(Options(group), new TransactionalProcessingOptions
            {
                Topics = [topic],
                MaxRecords = 100,
                CommitInterval = TimeSpan.FromMilliseconds(20),
                MaxAttempts = 1000,
                Producer = Readable,
            }, handle, cancellationToken: _stop.Token);

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _running.SoonAsync();
        }
    }
}
