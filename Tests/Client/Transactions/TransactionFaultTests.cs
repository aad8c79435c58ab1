using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Client.Transactions;

/// <summary>Transactions of the client while requests and answers are lost.</summary>
public sealed class TransactionFaultTests : IAsyncLifetime
{
    private const string Topic = "results";
    private const int Partitions = 3;

    private TestBroker _test = null!;
    private LossyBroker _broker = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _test = await TestBroker.StartAsync();
        _broker = new LossyBroker(_test.Broker);
        _client = new OrleansMqClient(_broker);
        await _client.Admin.CreateTopicAsync(Topic, Partitions);
    }

    public async Task DisposeAsync() => await _test.DisposeAsync();

    private static TransactionalProducerOptions Options() => new()
    {
        WaitUntilReadable = true,
        Producer = new ProducerOptions { RetryBackoff = TimeSpan.FromMilliseconds(1), RetryBackoffMax = TimeSpan.FromMilliseconds(5) },
    };

    [Fact]
    public async Task Lost_requests_and_answers_neither_lose_nor_double_a_transaction()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        _broker.Loses = () =>
        {
            lock (random)
            {
                return random.Next(10) switch { 0 => Loss.Request, 1 => Loss.Answer, _ => Loss.None };
            }
        };
        var committed = new List<string>();
        await using (var producer = _client.CreateTransactionalProducer<string, string>("lossy", Options()))
        {
            for (var round = 0; round < 200; round++)
            {
                await using var transaction = await producer.BeginTransactionAsync();
                string[] values = [.. Enumerable.Range(0, random.Next(1, 8)).Select(i => $"{round}.{i}")];
                foreach (var value in values)
                    await transaction.EnqueueAsync(new(Topic, value, value));
                if (random.Next(3) == 0)
                {
                    await transaction.AbortAsync();
                    continue;
                }
                await transaction.CommitAsync();
                committed.AddRange(values);
            }
        }
        Assert.True(committed.Order().SequenceEqual((await CommittedAsync()).Order()),
            $"Not what was committed: {Seeds.Replay(seed, nameof(TransactionFaultTests))}");
    }

    [Fact]
    public async Task Commit_whose_answers_are_lost_is_unknown_until_it_is_repeated()
    {
        await using var producer = _client.CreateTransactionalProducer<string, string>("unknown", Options());
        await using var transaction = await producer.BeginTransactionAsync();
        await transaction.SendAsync(new(Topic, "k", "v"));
        _broker.Loses = static () => Loss.AnswerForGood;
        var unknown = await Assert.ThrowsAsync<TransactionOutcomeUnknownException>(() => transaction.CommitAsync());
        Assert.Contains("Commit again", unknown.Message, StringComparison.Ordinal);
        _broker.Loses = static () => Loss.None;
        await transaction.CommitAsync();
        Assert.Equal(["v"], await CommittedAsync());
        await using var next = await producer.BeginTransactionAsync();
        await next.SendAsync(new(Topic, "k", "w"));
        await next.CommitAsync();
        Assert.Equal(["v", "w"], (await CommittedAsync()).Order());
    }

    [Fact]
    public async Task Commit_that_never_arrived_is_aborted_when_it_is_disposed_and_the_next_begins()
    {
        await using var producer = _client.CreateTransactionalProducer<string, string>("never", Options());
        await using (var transaction = await producer.BeginTransactionAsync())
        {
            await transaction.SendAsync(new(Topic, "k", "v"));
            _broker.Loses = static () => Loss.RequestForGood;
            await Assert.ThrowsAsync<TransactionOutcomeUnknownException>(() => transaction.CommitAsync());
        }
        var refused = await Assert.ThrowsAsync<TransactionException>(async () => await producer.BeginTransactionAsync());
        Assert.IsNotType<ProducerFencedException>(refused);
        _broker.Loses = static () => Loss.None;
        await using var next = await producer.BeginTransactionAsync();
        await next.SendAsync(new(Topic, "k", "w"));
        await next.CommitAsync();
        Assert.Equal(["w"], await CommittedAsync());
    }

    [Fact]
    public async Task Id_that_the_broker_has_forgotten_begins_anew()
    {
        await using var producer = _client.CreateTransactionalProducer<string, string>("forgotten", Options());
        await using (var transaction = await producer.BeginTransactionAsync())
        {
            await transaction.SendAsync(new(Topic, "k", "v"));
            await transaction.CommitAsync();
        }
        _broker.Forgets = true;
        await using (var transaction = await producer.BeginTransactionAsync())
        {
            await transaction.EnqueueAsync(new(Topic, "k", "lost with the id"));
            var failure = await Assert.ThrowsAsync<TransactionException>(() => transaction.CommitAsync());
            Assert.Equal(ErrorCode.InvalidProducerIdMapping, failure.Code);
        }
        _broker.Forgets = false;
        await using var next = await producer.BeginTransactionAsync();
        await next.SendAsync(new(Topic, "k", "w"));
        await next.CommitAsync();
        Assert.Equal(["v", "w"], (await CommittedAsync()).Order());
    }

    [Fact]
    public async Task Transaction_that_is_left_while_its_commit_hangs_never_counts_and_lends_nothing_to_the_next()
    {
        await using var producer = _client.CreateTransactionalProducer<string, string>("hanging", Options());
        var left = await producer.BeginTransactionAsync();
        await left.SendAsync(new(Topic, "k", "left") { Partition = 0 });
        var (gate, isOnItsWay) = (new TaskCompletionSource(), new TaskCompletionSource());
        _broker.BeforeProduce = () =>
        {
            isOnItsWay.TrySetResult();
            return gate.Task;
        };
        await left.EnqueueAsync(new(Topic, "k", "on its way") { Partition = 0 });
        var commit = left.CommitAsync();
        await isOnItsWay.Task.SoonAsync();
        await left.DisposeAsync();
        Assert.False(commit.IsCompleted);
        _broker.BeforeProduce = static () => Task.CompletedTask;
        await using (var next = await producer.BeginTransactionAsync())
        {
            await next.SendAsync(new(Topic, "k", "next") { Partition = 0 });
            gate.SetResult();
            await Assert.ThrowsAsync<TransactionException>(() => commit.SoonAsync());
            await next.CommitAsync();
        }
        Assert.Equal(["next"], await CommittedAsync());
    }

    [Fact]
    public async Task Record_that_its_sender_cancelled_fails_the_transaction()
    {
        await using var producer = _client.CreateTransactionalProducer<string, string>("cancelled", Options());
        await using var transaction = await producer.BeginTransactionAsync();
        await transaction.EnqueueAsync(new(Topic, "k", "v"));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            await transaction.SendAsync(new(Topic, "k", "w"), new CancellationToken(canceled: true)));
        await Assert.ThrowsAsync<TransactionException>(() => transaction.CommitAsync());
    }

    [Fact]
    public async Task Batches_above_the_topics_limit_are_split_within_the_transaction()
    {
        await _client.Admin.CreateTopicAsync("small", configs: new Dictionary<string, string> { ["max.message.bytes"] = "4000" });
        await using var producer = _client.CreateTransactionalProducer<string, string>("splitting", Options());
        for (var round = 0; round < 2; round++)
        {
            await using var transaction = await producer.BeginTransactionAsync();
            for (var i = 0; i < 500; i++)
            {
                await transaction.EnqueueAsync(new("small", "k", $"{round}.{i} {new string('x', 400)}"));
                // The first is known to the partition before large batches follow, several at a time.
                if (i == 0)
                    await transaction.FlushAsync();
            }
            await transaction.CommitAsync();
        }
        var read = await TestTransactions.ReadAllAsync(_test.Broker, "small", 0, IsolationLevel.ReadCommitted);
        Assert.NotNull(read);
        Assert.Equal(Enumerable.Range(0, 1000).Select(static i => $"{i / 500}.{i % 500}"),
            read.Select(static value => value.Split(' ')[0]));
    }

    [Fact]
    public async Task Partition_that_was_revoked_with_records_in_the_transaction_fails_it()
    {
        var groups = new OrleansMqClient(_test.Broker);
        await groups.Admin.CreateTopicAsync("input", 2);
        await using (var sender = groups.CreateProducer<int, int>())
        {
            foreach (var partition in (int[])[0, 1])
                await sender.SendAsync(new("input", partition, partition) { Partition = partition });
        }
        await using var consumer = groups.CreateConsumer<int, int>(Group() with { AutoCommit = false });
        consumer.Subscribe("input");
        await using var producer = _client.CreateTransactionalProducer<string, string>("revoked", Options());
        await using (var transaction = await producer.BeginTransactionAsync())
        {
            for (var i = 0; i < 2; i++)
                await transaction.EnqueueAsync(new(Topic, "k", $"of {(await consumer.ReadAsync().SoonAsync()).Value}"));
            await using var other = groups.CreateConsumer<int, int>(Group() with { AutoCommit = false });
            other.Subscribe("input");
            // The last record is done when the next is asked for, and its partition can move.
            await consumer.ReadAsync(TimeSpan.Zero);
            await Wait.UntilAsync(() => consumer.Assignment.Count == 1, "one partition moves");
            var fenced = await Assert.ThrowsAsync<CommitFencedException>(() => transaction.SendOffsetsAsync(consumer));
            Assert.Single(fenced.Partitions);
            await Assert.ThrowsAsync<TransactionException>(() => transaction.CommitAsync());
        }
        Assert.Empty(await CommittedAsync());
    }

    [Fact]
    public async Task Offsets_of_a_topic_that_the_coordinator_does_not_know_yet_are_sent_again()
    {
        await _client.Admin.CreateTopicAsync("input");
        await using (var sender = _client.CreateProducer<int, int>())
            await sender.SendAsync(new("input", 0, 7));
        await using var consumer = _client.CreateConsumer<int, int>(Group() with { AutoCommit = false });
        consumer.Subscribe("input");
        await using var producer = _client.CreateTransactionalProducer<string, string>("early", Options());
        await using var transaction = await producer.BeginTransactionAsync();
        await transaction.EnqueueAsync(new(Topic, "k", $"of {(await consumer.ReadAsync().SoonAsync()).Value}"));
        var times = 0;
        _broker.AnswersOffsets = commit => ++times > 2 ? null
            : new OffsetCommitResult([.. commit.Offsets.Select(static offset => new PartitionError(offset.Topic, offset.Partition,
                ErrorCode.UnknownTopicId))]);
        await transaction.SendOffsetsAsync(consumer);
        await transaction.CommitAsync();
        Assert.Equal(3, times);
        Assert.Equal(["of 7"], await CommittedAsync());
        var fetched = await _test.Broker.Groups.SendAsync(new OffsetFetch { GroupId = "group" });
        Assert.Equal(1, Assert.Single(fetched.Partitions).Offset?.Offset);
    }

    [Fact]
    public async Task Batch_does_not_go_to_a_topic_that_was_created_again_after_it_was_added()
    {
        await using var producer = _client.CreateTransactionalProducer<string, string>("again", Options());
        await using (var transaction = await producer.BeginTransactionAsync())
        {
            _broker.BeforeProduce = async () =>
            {
                _broker.BeforeProduce = static () => Task.CompletedTask;
                await _client.Admin.DeleteTopicAsync(Topic);
                await _client.Admin.CreateTopicAsync(Topic, Partitions);
            };
            await Assert.ThrowsAnyAsync<Exception>(async () => await transaction.SendAsync(new(Topic, "k", "lost")));
            var refused = await Assert.ThrowsAsync<TransactionException>(() => transaction.CommitAsync());
            Assert.Equal(ErrorCode.UnknownTopicId, refused.Code);
        }
        await using var next = await producer.BeginTransactionAsync();
        await next.SendAsync(new(Topic, "k", "kept"));
        await next.CommitAsync();
        // Nothing is left open before it.
        Assert.Equal(["kept"], await CommittedAsync());
    }

    [Fact]
    public async Task Loop_whose_handler_outlasts_the_transaction_goes_on()
    {
        await _client.Admin.CreateTopicAsync("slow");
        await using (var sender = _client.CreateProducer<int, int>())
        {
            for (var i = 0; i < 5; i++)
                await sender.EnqueueAsync(new("slow", i, i));
        }
        var times = 0;
        using var stop = new CancellationTokenSource();
        var loop = _client.ProcessAsync<int, int, string, string>(Group(), new TransactionalProcessingOptions
        {
            Topics = ["slow"],
            TransactionalId = "slow-loop",
            Producer = Options() with { TransactionTimeout = TimeSpan.FromSeconds(2) },
        }, async (record, stopping) =>
        {
            if (record.Value == 3 && ++times == 1)
            {
                while ((await _client.Broker.Transactions.SendAsync(new DescribeTransaction("slow-loop"), stopping)).Phase
                    != TransactionPhase.CompleteAbort)
                    await Task.Delay(20, stopping);
            }
            return [new(Topic, "k", $"{record.Value}")];
        }, cancellationToken: stop.Token);
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while ((await CommittedAsync()).Count < 5 && !loop.IsCompleted)
            await Task.Delay(20, deadline.Token);
        await stop.CancelAsync();
        await loop.SoonAsync();
        Assert.Equal(["0", "1", "2", "3", "4"], await CommittedAsync());
    }

    [Fact]
    public async Task Commit_whose_outcome_is_unknown_is_repeated_after_a_pause_that_the_stop_ends()
    {
        await _client.Admin.CreateTopicAsync("input");
        await using (var sender = _client.CreateProducer<int, int>())
            await sender.SendAsync(new("input", 0, 7));
        var (clock, ends) = (new ManualTimeProvider(), 0);
        _broker.OnEnd = end =>
        {
            Interlocked.Increment(ref ends);
            return Task.FromResult(end.Refuse(ErrorCode.UnknownServerError, "A fault."));
        };
        using var stop = new CancellationTokenSource();
        var pause = TimeSpan.FromMinutes(20);
        var loop = _client.ProcessAsync<int, int, string, string>(Group() with
        {
            Reader = new ReaderOptions { TimeProvider = clock, RetryBackoff = pause, RetryBackoffMax = pause },
        }, new TransactionalProcessingOptions { Topics = ["input"], MaxRecords = 1, Producer = Options() },
            (record, _) => new([new(Topic, "k", $"{record.Value}")]), cancellationToken: stop.Token);
        await Wait.UntilAsync(() => Volatile.Read(ref ends) > 0, "a commit");
        await Wait.UntilAsync(() => clock.ArmedTimers.Any(timer => timer > pause / 2), "the pause after a commit");
        Assert.Equal(1, Volatile.Read(ref ends));
        _broker.OnEnd = null;
        await stop.CancelAsync();
        await loop.SoonAsync();
        Assert.Equal(["7"], await CommittedAsync());
    }

    [Fact]
    public async Task Handler_that_waits_until_its_partition_moves_is_told_and_its_record_handled_by_the_next()
    {
        await _client.Admin.CreateTopicAsync("input", 2);
        await using var sender = _client.CreateProducer<int, int>();
        foreach (var partition in (int[])[0, 1])
            await sender.SendAsync(new("input", 0, partition) { Partition = partition });
        using var stop = new CancellationTokenSource();
        var (isWaiting, told) = (new TaskCompletionSource(), new TaskCompletionSource());
        var first = RunAsync("first", async (value, moved) =>
        {
            if (!isWaiting.TrySetResult())
                return;
            try
            {
                await Task.Delay(Timeout.Infinite, moved);
            }
            finally
            {
                told.TrySetResult();
            }
        });
        await isWaiting.Task.SoonAsync();
        var second = RunAsync("second", static (_, _) => Task.CompletedTask);
        await told.Task.SoonAsync();
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while ((await CommittedAsync()).Count < 2)
            await Task.Delay(20, deadline.Token);
        await stop.CancelAsync();
        await Task.WhenAll(first, second).SoonAsync();
        Assert.Equal(["0", "1"], (await CommittedAsync()).Order());

        // If the other partition moves, the group gives the member up: the rebalance waits for the handler.
        Task RunAsync(string name, Func<int, CancellationToken, Task> handle) => _client.ProcessAsync<int, int, string, string>(
            Group() with { DrainTimeout = TimeSpan.FromMilliseconds(50), RebalanceTimeout = TimeSpan.FromSeconds(2) },
            new TransactionalProcessingOptions
            {
                Topics = ["input"],
                TransactionalId = name,
                MaxAttempts = 1,
                Producer = Options(),
            }, async (record, moved) =>
            {
                await handle(record.Value, moved);
                return [new(Topic, "k", $"{record.Value}")];
            }, cancellationToken: stop.Token);
    }

    [Fact]
    public async Task Record_that_was_read_while_a_rebalance_aborts_is_not_handled_before_those_that_are_read_again()
    {
        await _client.Admin.CreateTopicAsync("input", 2);
        await using var sender = _client.CreateProducer<int, int>();
        foreach (var partition in (int[])[0, 1])
            await sender.SendAsync(new("input", 0, partition) { Partition = partition });
        using var stop = new CancellationTokenSource();
        var (handled, read) = (new List<int>(), new HashSet<int>());
        var first = RunAsync(record => handled.Add(record), TimeSpan.FromMinutes(10), new Seen(read));
        await Wait.UntilAsync(() => { lock (handled) return handled.Count == 2; }, "both partitions are in the transaction");
        var (isEnding, mayEnd) = (new TaskCompletionSource(), new TaskCompletionSource());
        _broker.OnEnd = async end =>
        {
            isEnding.TrySetResult();
            await mayEnd.Task;
            return end.Refuse(ErrorCode.InvalidTxnState, "Refused.");
        };
        var others = new List<int>();
        var second = RunAsync(record => others.Add(record), TimeSpan.FromMilliseconds(5), null);
        await isEnding.Task.SoonAsync();
        // The loop reads on in the partition that stays, whichever it is, and waits for the rebalance.
        foreach (var partition in (int[])[0, 1])
            await sender.SendAsync(new("input", 0, 10 + partition) { Partition = partition });
        await Wait.UntilAsync(() => { lock (read) return read.Any(static value => value >= 10); }, "the loop has read on");
        _broker.OnEnd = null;
        mayEnd.SetResult();
        await Wait.UntilAsync(() => { lock (handled) return handled.Count >= 4 && others.Count >= 2; }, "both loops have handled theirs");
        await stop.CancelAsync();
        await Task.WhenAll(first, second).SoonAsync();
        lock (handled)
            Assert.Equal(handled[2] + 10, handled[3]);
        Assert.Equal([0, 1, 10, 11], (await CommittedAsync()).Select(int.Parse).Order());

        Task RunAsync(Action<int> handle, TimeSpan interval, IDeserializer<int>? values) => _client.ProcessAsync<int, int, string, string>(
            Group(), new TransactionalProcessingOptions { Topics = ["input"], CommitInterval = interval, Producer = Options() },
            (record, _) =>
            {
                lock (handled)
                    handle(record.Value);
                return new([new(Topic, "k", $"{record.Value}")]);
            }, values: values, cancellationToken: stop.Token);
    }

    /// <summary>Notes each value that is read.</summary>
    private sealed class Seen(HashSet<int> values) : IDeserializer<int>
    {
        public int Deserialize(ReadOnlySpan<byte> bytes, bool isNull)
        {
            var value = Serdes.Int32.Deserialize(bytes, isNull);
            lock (values)
                values.Add(value);
            return value;
        }
    }

    [Fact]
    public async Task Loops_that_come_and_go_while_calls_are_lost_and_batches_refused_lose_and_double_nothing()
    {
        const int Count = 2000;
        var seed = Seeds.Next();
        var random = new Random(seed);
        int Roll(int sides)
        {
            lock (random)
                return random.Next(sides);
        }
        await _client.Admin.CreateTopicAsync("input", 6);
        _broker.Loses = () => Roll(12) switch { 0 => Loss.Request, 1 => Loss.Answer, _ => Loss.None };
        _broker.Refuses = () => Roll(60) == 0;
        var handled = new System.Collections.Concurrent.ConcurrentDictionary<int, bool>();
        List<(CancellationTokenSource Stop, Task Loop)> loops = [];
        await using (var sender = _client.CreateProducer<int, int>())
        {
            for (var i = 0; i < Count; i++)
            {
                if (i % 200 == 0)
                    await TurnAsync();
                await sender.SendAsync(new("input", i, i));
            }
        }
        while (handled.Count < Count)
        {
            await TurnAsync();
            var before = handled.Count;
            await Wait.UntilAsync(() => handled.Count >= Math.Min(Count, before + 50),
                $"progress; {Seeds.Replay(seed, "~Loops_that_come")}");
        }
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while ((await CommittedAsync()).Count < Count)
            await Task.Delay(20, deadline.Token);
        foreach (var (stop, loop) in loops)
        {
            await stop.CancelAsync();
            await loop.SoonAsync();
        }
        var committed = (await CommittedAsync()).Select(int.Parse).Order();
        Assert.True(committed.SequenceEqual(Enumerable.Range(0, Count)), $"Lost or doubled: {Seeds.Replay(seed, "~Loops_that_come")}");

        // Starts a loop, and stops one where there are three.
        async Task TurnAsync()
        {
            var stop = new CancellationTokenSource();
            loops.Add((stop, _client.ProcessAsync<int, int, string, string>(Group(), new TransactionalProcessingOptions
            {
                Topics = ["input"],
                MaxRecords = 20,
                CommitInterval = TimeSpan.FromMilliseconds(5),
                MaxAttempts = int.MaxValue,
                Producer = Options(),
            }, (record, _) =>
            {
                handled[record.Value] = true;
                return Roll(300) == 0 ? throw new InvalidOperationException("Now and then.") : new([new(Topic, "k", $"{record.Value}")]);
            }, cancellationToken: stop.Token)));
            if (loops.Count <= 3)
                return;
            var at = Roll(loops.Count);
            var (ended, loop) = loops[at];
            loops.RemoveAt(at);
            await ended.CancelAsync();
            await loop.SoonAsync();
        }
    }

    private static ConsumerOptions Group() => new()
    {
        GroupId = "group",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        Reader = new ReaderOptions { RetryBackoff = TimeSpan.FromMilliseconds(1), RetryBackoffMax = TimeSpan.FromMilliseconds(10) },
    };

    private Task<List<string>> CommittedAsync() => TestTransactions.ReadCommittedAsync(_test.Broker, Topic, Partitions);

    /// <summary>What is lost of a call.</summary>
    private enum Loss
    {
        None = 0,
        Request = 1,
        Answer = 2,
        /// <summary>The request, and no error says that it may be repeated.</summary>
        RequestForGood = 3,
        /// <summary>The answer, and no error says that the request may be repeated.</summary>
        AnswerForGood = 4,
    }

    /// <summary>The groups of another broker; some offsets of transactions are answered by a script.</summary>
    private sealed class ScriptedGroups(IGroupCoordinator inner, Func<TransactionOffsetCommit, OffsetCommitResult?> answers)
        : IGroupCoordinator
    {
        public ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken) =>
            request is TransactionOffsetCommit commit && answers(commit) is { } answer ? new(request.Answer(answer))
                : inner.SendAsync(request, cancellationToken);

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
            inner.FindCoordinatorAsync(groupId, cancellationToken);

        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
            inner.ListGroupsAsync(cancellationToken);
    }

    /// <summary>A broker that loses calls of transactions on cue.</summary>
    private sealed class LossyBroker(IBroker inner) : ForwardingBroker(inner), ITransactionCoordinator
    {
        private readonly IBroker _inner = inner;

        /// <summary>What is lost of the next call.</summary>
        public Func<Loss> Loses { get; set; } = static () => Loss.None;

        /// <summary>Whether the next batch is refused for good.</summary>
        public Func<bool> Refuses { get; set; } = static () => false;

        /// <summary>Answers an end; null: the broker does.</summary>
        public Func<ICoordinatorRequest, Task<object>>? OnEnd { get; set; }

        /// <summary>Awaited before a batch is appended.</summary>
        public Func<Task> BeforeProduce { get; set; } = static () => Task.CompletedTask;

        /// <summary>Whether it answers as if it had forgotten every transactional id.</summary>
        public bool Forgets { get; set; }

        /// <summary>Answers offsets of a transaction; null: the group does.</summary>
        public Func<TransactionOffsetCommit, OffsetCommitResult?> AnswersOffsets { get; set; } = static _ => null;

        public override ITransactionCoordinator Transactions => this;

        public override IGroupCoordinator Groups => new ScriptedGroups(_inner.Groups, commit => AnswersOffsets(commit));

        public override async ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch,
            BatchTransaction transaction, CancellationToken cancellationToken = default)
        {
            var loss = Loses();
            await Task.Yield();
            await BeforeProduce();
            if (Refuses())
                return ProduceResult.Failed(ErrorCode.PolicyViolation, "Refused.");
            if (loss == Loss.Request)
                return ProduceResult.Failed(ErrorCode.RequestTimedOut, "The request is lost.");
            var result = await _inner.ProduceInTransactionAsync(partition, batch, transaction, cancellationToken);
            return loss == Loss.Answer ? ProduceResult.Failed(ErrorCode.RequestTimedOut, "The answer is lost.") : result;
        }

        public async ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken)
        {
            var loss = Loses();
            await Task.Yield();
            if (Forgets)
                return request.Answer(request.Refuse(request is DescribeTransaction ? ErrorCode.TransactionalIdNotFound
                    : ErrorCode.InvalidProducerIdMapping, "Forgotten."));
            if (request is EndTransaction && OnEnd is { } script)
                return request.Answer(await script(request));
            if (loss == Loss.Request)
                throw new BrokerException(ErrorCode.RequestTimedOut, "The request is lost.");
            if (loss == Loss.RequestForGood)
                throw new IOException("The request is lost.");
            var answer = await _inner.Transactions.SendAsync(request, cancellationToken);
            return loss switch
            {
                Loss.Answer => throw new BrokerException(ErrorCode.RequestTimedOut, "The answer is lost."),
                Loss.AnswerForGood => throw new IOException("The answer is lost."),
                _ => answer,
            };
        }

        public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken) =>
            _inner.Transactions.FindCoordinatorAsync(transactionalId, cancellationToken);

        public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken) =>
            _inner.Transactions.ListTransactionsAsync(cancellationToken);
    }
}
