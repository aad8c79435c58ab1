using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Engine.Transactions;

/// <summary>What a coordinator does with requests that come late, of a client with one epoch for many transactions.</summary>
public sealed class TransactionCoreTests
{
    private const string Id = "id";
    private static readonly TransactionPartition First = new("t", 0, Guid.Empty);
    private static readonly TransactionOptions Options = new();
    private readonly Dictionary<long, object> _answers = [];
    private DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private TransactionContent? _stored;
    private long _requests;
    // Whether participants know of an end as soon as they are told.
    private bool _areToldAtOnce = true;
    private TransactionCore _core;

    public TransactionCoreTests() => _core = Open();

    [Fact]
    public void Addition_over_an_older_connection_begins_no_transaction_when_its_own_has_ended()
    {
        var producer = Init();
        Assert.Equal(ErrorCode.None, Add(producer, connection: 4).Error);
        Assert.Equal(ErrorCode.None, Add(producer, connection: 5).Error);
        Assert.Equal(ErrorCode.None, End(producer, connection: 5).Error);

        Assert.Equal(ErrorCode.ConcurrentTransactions, Add(producer, connection: 4).Error);
        Assert.Equal(TransactionPhase.CompleteCommit, _core.State!.Phase);
        // The next coordinator reads a transaction that is being ended, and ends it.
        _core = Open();
        Assert.Equal(ErrorCode.ConcurrentTransactions, Add(producer, connection: 4).Error);
        Assert.Equal(TransactionPhase.CompleteCommit, _core.State!.Phase);
        // Its client repeats the commit.
        Assert.Equal(ErrorCode.None, End(producer, connection: 6).Error);
        Assert.Equal(ErrorCode.None, Add(producer, connection: 6).Error);
        Assert.Equal(TransactionPhase.Ongoing, _core.State!.Phase);
    }

    [Fact]
    public void Addition_over_an_older_connection_is_refused_while_its_transaction_is_being_ended()
    {
        var producer = Init();
        Add(producer, connection: 5);
        _areToldAtOnce = false;
        Assert.Equal(ErrorCode.None, End(producer, connection: 5).Error);
        Assert.Equal(ErrorCode.ConcurrentTransactions, Add(producer, connection: 4).Error);
    }

    [Fact]
    public void Addition_over_an_older_connection_to_another_broker_counts()
    {
        var producer = Init();
        Add(producer, connection: 5);
        End(producer, connection: 5);
        Assert.Equal(ErrorCode.None, Add(producer, connection: 4, broker: 2).Error);
    }

    [Theory]
    [InlineData(TransactionPhase.Ongoing)]
    [InlineData(TransactionPhase.CompleteCommit)]
    public void New_epoch_adds_over_an_older_connection(TransactionPhase left)
    {
        var former = Init();
        Add(former, connection: 5);
        if (left == TransactionPhase.CompleteCommit)
            End(former, connection: 5);
        Assert.Equal(left, _core.State!.Phase);
        var producer = Init();
        Assert.True(producer.ProducerEpoch > former.ProducerEpoch);
        Assert.Equal(ErrorCode.None, Add(producer, connection: 4).Error);
        Assert.Equal(ErrorCode.None, End(producer, connection: 4).Error);
    }

    [Fact]
    public void Connection_that_counts_from_an_earlier_time_is_not_shut_out_for_ever()
    {
        var producer = Init();
        Add(producer, connection: 5);
        End(producer, connection: 5);
        _now += TransactionCore.LateFor - TimeSpan.FromMilliseconds(1);
        Assert.Equal(ErrorCode.ConcurrentTransactions, Add(producer, connection: 4).Error);
        _now += TimeSpan.FromMilliseconds(1);
        Assert.Equal(ErrorCode.None, Add(producer, connection: 4).Error);
        Assert.Equal(ErrorCode.None, End(producer, connection: 4).Error);
    }

    [Fact]
    public void Transaction_of_a_coordinator_whose_clock_was_ahead_times_out_by_the_clock_of_the_next()
    {
        Add(Init(), connection: 5);
        _now -= TimeSpan.FromDays(1);
        _core = Open();
        Assert.Equal((_now, _now), (_core.State!.StartedAt, _core.State.UpdatedAt));
        _now += Options.MaxTimeout - TimeSpan.FromMilliseconds(1);
        Give(new Wake());
        Assert.Equal(TransactionPhase.Ongoing, _core.State!.Phase);
        _now += TimeSpan.FromMilliseconds(1);
        Give(new Wake());
        Assert.Equal(TransactionPhase.CompleteAbort, _core.State!.Phase);
    }

    [Fact]
    public void Verification_does_not_wait_for_the_next_transaction()
    {
        var producer = Init();
        Add(producer, connection: 5);
        _areToldAtOnce = false;
        End(producer, connection: 5);
        var next = Ask(AdditionOf(producer, connection: 5));
        var late = (AddToTransactionResult)_answers[Ask(AdditionOf(producer, connection: 0) with { VerifyOnly = true })];
        Assert.Equal(ErrorCode.TransactionAbortable, late.Error);
        Assert.Contains("is being ended", late.Message, StringComparison.Ordinal);

        Assert.False(_answers.ContainsKey(next));
        Give(new ParticipantsEnded(_core.State!.Number));
        Assert.Equal(ErrorCode.None, ((AddToTransactionResult)_answers[next]).Error);
    }

    [Fact]
    public void Verification_of_a_fenced_epoch_is_refused_as_fenced_when_the_end_is_known()
    {
        var producer = Init();
        Add(producer, connection: 5);
        _areToldAtOnce = false;
        Ask(new AbortTransaction(Id));
        var late = Ask(AdditionOf(producer, connection: 0) with { VerifyOnly = true });
        Assert.False(_answers.ContainsKey(late));
        Give(new ParticipantsEnded(_core.State!.Number));
        Assert.Equal(ErrorCode.ProducerFenced, ((AddToTransactionResult)_answers[late]).Error);
    }

    private static AddToTransaction AdditionOf(ProducerIdentity producer, long connection, int broker = 1) => new()
    {
        TransactionalId = Id,
        Producer = producer,
        Partitions = [First],
        Caller = new TransactionCaller("a client", broker, connection),
    };

    private ProducerIdentity Init() => ((InitTransactionsResult)_answers[Ask(new InitTransactions
    {
        TransactionalId = Id,
        Timeout = Options.MaxTimeout,
    })]).Producer;

    private AddToTransactionResult Add(ProducerIdentity producer, long connection, int broker = 1) =>
        (AddToTransactionResult)_answers[Ask(AdditionOf(producer, connection, broker))];

    private EndTransactionResult End(ProducerIdentity producer, long connection) => (EndTransactionResult)_answers[Ask(new EndTransaction
    {
        TransactionalId = Id,
        Producer = producer,
        IsCommit = true,
        Caller = new TransactionCaller("a client", 1, connection),
    })];

    private long Ask(ITransactionRequest body)
    {
        Give(new CoordinatorRequest(++_requests, body));
        return _requests;
    }

    private TransactionCore Open()
    {
        _core = new TransactionCore(Id, 0, Options, Guid.NewGuid(), _stored is null ? StoredTransaction.None
            : new StoredTransaction(TransactionDocument.Parse(_stored.ToBytes())), _now);
        Perform();
        return _core;
    }

    private void Give(CoordinatorCommand command)
    {
        _core.Execute(command, _now);
        Perform();
    }

    private void Perform()
    {
        var effects = new List<CoordinatorEffect>();
        _core.TakeEffects(effects);
        foreach (var effect in effects)
        {
            switch (effect)
            {
                case Reply reply:
                    _answers.Add(reply.RequestId, reply.Result);
                    break;
                case Store write:
                    _stored = (TransactionContent?)write.Content;
                    Give(new StoreCompleted(write.Document, write.Version));
                    break;
                case ConfirmClaim confirm:
                    Give(new ClaimRead(confirm.Number, _stored!.Coordinator));
                    break;
                case EndParticipants told when _areToldAtOnce:
                    Give(new ParticipantsEnded(told.State.Number));
                    break;
                case TakeProducerId:
                    Give(new ProducerIdTaken(7));
                    break;
            }
        }
    }
}
