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

    private static TransactionalProducerOptions Options(TimeSpan? requests = null) => new()
    {
        WaitUntilReadable = true,
        RequestTimeout = requests ?? TimeSpan.FromMinutes(1),
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
        await using var producer = _client.CreateTransactionalProducer<string, string>("unknown", Options(TimeSpan.FromMilliseconds(50)));
        await using var transaction = await producer.BeginTransactionAsync();
        await transaction.SendAsync(new(Topic, "k", "v"));
        _broker.Loses = static () => Loss.Answer;
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
        await using var producer = _client.CreateTransactionalProducer<string, string>("never", Options(TimeSpan.FromMilliseconds(50)));
        await using (var transaction = await producer.BeginTransactionAsync())
        {
            await transaction.SendAsync(new(Topic, "k", "v"));
            _broker.Loses = static () => Loss.Request;
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

    private async Task<List<string>> CommittedAsync()
    {
        var values = new List<string>();
        for (var partition = 0; partition < Partitions; partition++)
        {
            var read = await TestTransactions.ReadAllAsync(_test.Broker, Topic, partition, IsolationLevel.ReadCommitted);
            Assert.NotNull(read);
            values.AddRange(read);
        }
        return values;
    }

    /// <summary>What is lost of a call.</summary>
    private enum Loss
    {
        None = 0,
        Request = 1,
        Answer = 2,
    }

    /// <summary>A broker that loses calls of transactions on cue.</summary>
    private sealed class LossyBroker(IBroker inner) : ForwardingBroker(inner), ITransactionCoordinator
    {
        private readonly IBroker _inner = inner;

        /// <summary>What is lost of the next call.</summary>
        public Func<Loss> Loses { get; set; } = static () => Loss.None;

        /// <summary>Whether it answers as if it had forgotten every transactional id.</summary>
        public bool Forgets { get; set; }

        public override ITransactionCoordinator Transactions => this;

        public override async ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch,
            long transaction, CancellationToken cancellationToken = default)
        {
            var loss = Loses();
            await Task.Yield();
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
            if (loss == Loss.Request)
                throw new BrokerException(ErrorCode.RequestTimedOut, "The request is lost.");
            var answer = await _inner.Transactions.SendAsync(request, cancellationToken);
            return loss == Loss.Answer ? throw new BrokerException(ErrorCode.RequestTimedOut, "The answer is lost.") : answer;
        }

        public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken) =>
            _inner.Transactions.FindCoordinatorAsync(transactionalId, cancellationToken);

        public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken) =>
            _inner.Transactions.ListTransactionsAsync(cancellationToken);
    }
}
