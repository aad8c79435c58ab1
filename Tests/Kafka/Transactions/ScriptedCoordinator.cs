using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Transactions;

/// <summary>A coordinator that answers as it is told, and keeps what it was asked. Thread safe.</summary>
internal sealed class ScriptedCoordinator : ITransactionCoordinator
{
    /// <summary>The producer that it knows.</summary>
    public static readonly ProducerIdentity Producer = new(7, 0);

    private readonly List<ITransactionRequest> _requests = [];
    private long _sequence;

    /// <summary>What it was asked so far, without the numbers of requests, which rise.</summary>
    public IReadOnlyList<ITransactionRequest> Requests
    {
        get
        {
            lock (_requests)
                return [.. _requests];
        }
    }

    /// <summary>The number of the open transaction.</summary>
    public long Number { get; set; } = 1;

    /// <summary>The error that it refuses with.</summary>
    public ErrorCode Refusal { get; set; }

    /// <summary>What happens between the question and the answer.</summary>
    public Func<ITransactionRequest, Task> Before { get; set; } = static _ => Task.CompletedTask;

    /// <summary>What it lists.</summary>
    public IReadOnlyList<TransactionListing> Listings { get; set; } =
        [new TransactionListing("x", Producer.ProducerId, TransactionPhase.Ongoing, DateTimeOffset.UnixEpoch)];

    /// <summary>The only question so far.</summary>
    public TRequest Only<TRequest>() where TRequest : ITransactionRequest => Assert.IsType<TRequest>(Assert.Single(Requests));

    public async ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken = default)
    {
        lock (_requests)
        {
            _requests.Add(request switch
            {
                AddToTransaction add => add with { Caller = Checked(add.Caller) },
                EndTransaction end => end with { Caller = Checked(end.Caller) },
                InitTransactions init => init with { Caller = Checked(init.Caller) },
                _ => request,
            });
        }
        await Before(request);
        return request.Answer(Refusal == ErrorCode.None ? Answer(request) : request.Refuse(Refusal, "Refused by the script."));
    }

    public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default) =>
        Refusal == ErrorCode.None ? new(0) : ValueTask.FromException<int>(new BrokerException(Refusal, "Refused by the script."));

    public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default) =>
        Refusal == ErrorCode.None ? new(Listings)
            : ValueTask.FromException<IReadOnlyList<TransactionListing>>(new BrokerException(Refusal, "Refused by the script."));

    private TransactionCaller Checked(TransactionCaller caller)
    {
        Assert.True(caller.Sequence > _sequence);
        _sequence = caller.Sequence;
        return caller with { Sequence = 0 };
    }

    private object Answer(ITransactionRequest request) => request switch
    {
        InitTransactions => new InitTransactionsResult(ErrorCode.None, Producer),
        AddToTransaction => new AddToTransactionResult(ErrorCode.None, Number),
        EndTransaction end => new EndTransactionResult(ErrorCode.None,
            end.RaisesEpoch ? end.Producer with { ProducerEpoch = (short)(end.Producer.ProducerEpoch + 1) } : end.Producer),
        DescribeTransaction describe => new TransactionDescription
        {
            TransactionalId = describe.TransactionalId,
            Coordinator = 0,
            Phase = TransactionPhase.Ongoing,
            Producer = Producer,
            Timeout = TimeSpan.FromMinutes(1),
            StartedAt = DateTimeOffset.FromUnixTimeMilliseconds(1_767_225_600_000),
            Number = Number,
            Partitions = [new("orders", 0, Guid.Empty), new("orders", 1, Guid.Empty), new("other", 0, Guid.Empty)],
            Groups = ["readers"],
        },
        _ => throw new NotSupportedException(request.GetType().Name),
    };
}

/// <summary>A broker with a coordinator of transactions, and groups that keep the commits of transactions.</summary>
internal sealed class TransactionalBroker(IBroker inner, ITransactionCoordinator coordinator, IGroupCoordinator? groups = null)
    : ForwardingBroker(inner)
{
    public override ITransactionCoordinator Transactions => coordinator;

    public override IGroupCoordinator Groups => groups ?? base.Groups;
}

/// <summary>A broker's transactions, with what they were asked. Thread safe.</summary>
internal sealed class RecordedCoordinator(ITransactionCoordinator inner) : ITransactionCoordinator
{
    private readonly System.Collections.Concurrent.ConcurrentQueue<ITransactionRequest> _requests = new();

    /// <summary>What they were asked so far.</summary>
    public IReadOnlyCollection<ITransactionRequest> Requests => _requests;

    public ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken = default)
    {
        _requests.Enqueue(request);
        return inner.SendAsync(request, cancellationToken);
    }

    public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default) =>
        inner.FindCoordinatorAsync(transactionalId, cancellationToken);

    public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default) =>
        inner.ListTransactionsAsync(cancellationToken);
}
