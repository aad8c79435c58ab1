using OrleansMq.Api;

namespace OrleansMq.Tests.Silo;

/// <summary>A coordinator of transactions that records its requests and returns answers in which every field has a distinct
/// value.</summary>
public sealed class RecordedTransactions : ITransactionCoordinator
{
    private static readonly Guid Topic = new("6f1b5d0e-7c1c-4c55-9d0a-0f3c6e1f2a77");

    public static readonly InitTransactionsResult Initialized = new(ErrorCode.ConcurrentTransactions, new ProducerIdentity(7, 3), "init");
    public static readonly AddToTransactionResult Added = new(ErrorCode.TransactionAbortable, 1_767_225_600_001, "add");
    public static readonly EndTransactionResult Ended = new(ErrorCode.InvalidTxnState, new ProducerIdentity(8, 4), "end");
    public static readonly TransactionDescription Described = new()
    {
        TransactionalId = "billing-1",
        Coordinator = 2,
        Phase = TransactionPhase.PrepareAbort,
        Producer = new ProducerIdentity(9, 5),
        Timeout = TimeSpan.FromMilliseconds(60_001),
        StartedAt = new DateTimeOffset(2026, 1, 1, 0, 0, 1, TimeSpan.Zero),
        Number = 1_767_225_600_002,
        Partitions = [new TransactionPartition("orders", 1, Topic)],
        Groups = ["billing"],
        LastEnd = "an \"end\"",
        LastFence = "a fence",
    };
    public static readonly IReadOnlyList<TransactionListing> Listed =
        [Described.ToListing(), new("other", 1, TransactionPhase.Empty, null)];

    /// <summary>The requests, in order of arrival.</summary>
    public List<object> Asked { get; } = [];

    /// <summary>The answer to additions and verifications.</summary>
    public AddToTransactionResult Adds { get; set; } = Added;

    /// <summary>The ids that are listed.</summary>
    public IReadOnlyList<TransactionListing> Lists { get; set; } = Listed;

    /// <summary>Runs before each answer; may throw.</summary>
    public Action? Before { get; set; }

    public ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken) =>
        AnswerAsync(request, () => request.Answer(request switch
        {
            InitTransactions => Initialized,
            AddToTransaction => Adds,
            EndTransaction => Ended,
            AbortTransaction or DescribeTransaction => Described,
            _ => throw new NotSupportedException(),
        }));

    public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken) =>
        AnswerAsync("find " + transactionalId, static () => 2);

    public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken) =>
        AnswerAsync("list", () => Lists);

    private async ValueTask<T> AnswerAsync<T>(object request, Func<T> answer)
    {
        lock (Asked)
            Asked.Add(request);
        await Task.Yield();
        Before?.Invoke();
        return answer();
    }
}
