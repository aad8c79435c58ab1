using OrleansMq.Api;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>Compares the answers of coordinators with what was stored between request and answer. A refusal ends a producer, so there must
/// be a moment at which it was right.</summary>
internal sealed class AnswerChecker(TransactionSimulation simulation)
{
    private readonly Dictionary<ProducerIdentity, SimulatedClient> _given = [];
    private readonly Dictionary<Guid, ProducerIdentity> _initialized = [];
    /// <summary>How many initializations of a transactional id have arrived.</summary>
    private readonly Dictionary<string, int> _initializations = [];
    /// <summary>How many of them were answered when one came first.</summary>
    private readonly Dictionary<Guid, int> _answeredBefore = [];

    /// <summary>A request arrives at a coordinator.</summary>
    /// <param name="request">The request.</param>
    /// <param name="waiting">The requests that the coordinator has not answered.</param>
    public void OnArrived(ITransactionRequest request, IReadOnlyCollection<OpenRequest> waiting)
    {
        if (request is not InitTransactions init)
            return;
        var arrived = _initializations.GetValueOrDefault(init.TransactionalId);
        _answeredBefore.TryAdd(init.RequestId, arrived - waiting.Count(static one => one.Body is InitTransactions));
        _initializations[init.TransactionalId] = arrived + 1;
    }

    /// <summary>An answer leaves a coordinator.</summary>
    /// <param name="request">The request.</param>
    /// <param name="answer">The answer.</param>
    /// <param name="history">All states of the document.</param>
    public void OnAnswered(OpenRequest request, object answer, IReadOnlyList<TransactionState?> history)
    {
        var window = new List<TransactionState?>();
        for (var at = request.Known - 1; at < history.Count; at++)
            window.Add(history[at]);
        switch (request.Body)
        {
            case InitTransactions init:
                CheckRepetition(init, (InitTransactionsResult)answer);
                Check(request, init, (InitTransactionsResult)answer, window);
                break;
            case AddToTransaction add:
                Check(request, add, (AddToTransactionResult)answer, window);
                break;
            case EndTransaction end:
                Check(request, end, (EndTransactionResult)answer, window);
                break;
        }
    }

    private void Check(OpenRequest request, InitTransactions init, InitTransactionsResult result, List<TransactionState?> window)
    {
        switch (result.Error)
        {
            case ErrorCode.None:
                // A repetition is answered as before, whatever came since.
                Verdict.Require(window.Exists(state => state?.NextProducer == result.Producer || Supersedes(state, result.Producer)
                    || (state is not null && state.Inits.Contains(new TransactionInit(init.RequestId, result.Producer)))),
                    $"12: {result.Producer} is answered, and not stored");
                Give(request, result.Producer);
                simulation.Outcomes.OnInitialized(init.TransactionalId, result.Producer);
                break;
            case ErrorCode.ProducerFenced:
                var current = init.Current!.Value;
                RequireFenced(current, result.Error, window);
                Verdict.Require(!window.TrueForAll(state => state is { IsAtRest: true } && IsLast(state, current)),
                    $"12: {current} asks once more for the next epoch, and is refused");
                break;
            default:
                RequirePassing(result.Error, result.Message);
                break;
        }
    }

    private void Check(OpenRequest request, AddToTransaction add, AddToTransactionResult result, List<TransactionState?> window)
    {
        switch (result.Error)
        {
            case ErrorCode.None:
                simulation.Outcomes.OnAdded(add, result.Number, request.Transaction);
                break;
            case ErrorCode.ProducerFenced or ErrorCode.InvalidProducerIdMapping:
                RequireFenced(add.Producer, result.Error, window);
                break;
            case ErrorCode.TransactionAbortable:
                Verdict.Require(add.VerifyOnly && !window.TrueForAll(state => IsOpen(state, add.Producer)
                    && state!.Partitions.IsSupersetOf(add.Partitions) && state.Groups.IsSupersetOf(add.Groups)),
                    $"12: {add.Producer} is told that its transaction lacks what it has");
                break;
            case ErrorCode.ConcurrentTransactions:
                RequireOlderConnection(request, add.Caller, result.Message);
                break;
            default:
                RequirePassing(result.Error, result.Message);
                break;
        }
    }

    private void Check(OpenRequest request, EndTransaction end, EndTransactionResult result, List<TransactionState?> window)
    {
        switch (result.Error)
        {
            case ErrorCode.None:
                Verdict.Require(window.Exists(state => (state?.NextProducer == result.Producer && HasOutcome(state, end.IsCommit)
                    && (end.RaisesEpoch ? state.LastEpoch == end.Producer.ProducerEpoch : result.Producer == end.Producer))
                    || (end is { RaisesEpoch: true, IsCommit: false } && Supersedes(state, result.Producer))),
                    $"12: the end of a transaction of {end.Producer} is answered with {result.Producer}, and not so stored");
                Give(request, result.Producer);
                break;
            case ErrorCode.ProducerFenced or ErrorCode.InvalidProducerIdMapping:
                RequireFenced(end.Producer, result.Error, window);
                Verdict.Require(!end.RaisesEpoch
                    || !window.TrueForAll(state => HasOutcome(state, end.IsCommit) && IsLast(state!, end.Producer)),
                    $"12: {end.Producer} asks once more for the end of its transaction, and is refused");
                break;
            case ErrorCode.InvalidTxnState:
                Verdict.Require(!window.TrueForAll(state => IsOpen(state, end.Producer)
                    || (HasOutcome(state, end.IsCommit) && state!.NextProducer == end.Producer && !end.RaisesEpoch)),
                    $"12: the {(end.IsCommit ? "commit" : "abort")} of {end.Producer} is refused, and was right");
                break;
            case ErrorCode.ConcurrentTransactions:
                RequireOlderConnection(request, end.Caller, result.Message);
                break;
            default:
                RequirePassing(result.Error, result.Message);
                break;
        }
    }

    // A second identity would fence the first. A coordinator knows the last few initializations of an id that was not forgotten since.
    private void CheckRepetition(InitTransactions init, InitTransactionsResult result)
    {
        if (result.Error != ErrorCode.None || _initialized.TryAdd(init.RequestId, result.Producer))
            return;
        var first = _initialized[init.RequestId];
        var mayBeForgotten = _initializations[init.TransactionalId] - _answeredBefore[init.RequestId] > TransactionState.MostInits
            || (simulation.Scenario.IdExpirationMs > 0 && first.ProducerId != result.Producer.ProducerId);
        Verdict.Require(first == result.Producer || mayBeForgotten,
            $"9: one request is given {first}, and {result.Producer} when it is repeated");
    }

    private void Give(OpenRequest request, ProducerIdentity identity)
    {
        if (!_given.TryAdd(identity, request.Client!))
            Verdict.Require(_given[identity] == request.Client, $"9: {identity} is given to {_given[identity]} and {request.Client}");
    }

    // Two changes may be stored with one write: then the first one's identity is fenced, or forgotten, when it is answered.
    private static bool Supersedes(TransactionState? state, ProducerIdentity producer) => state is null
        || (state.NextProducer.ProducerId == producer.ProducerId ? state.NextProducer.ProducerEpoch > producer.ProducerEpoch
            : state.PreviousProducerId == producer.ProducerId);

    private static bool IsOpen(TransactionState? state, ProducerIdentity producer) =>
        state is { Phase: TransactionPhase.Ongoing } && state.Producer == producer;

    // Its next identity was the last answer.
    private static bool IsLast(TransactionState state, ProducerIdentity producer) => state.LastEpoch == producer.ProducerEpoch
        && (producer.ProducerId == state.ProducerId || producer.ProducerId == state.PreviousProducerId);

    private static bool HasOutcome(TransactionState? state, bool isCommit) => isCommit
        ? state is { Phase: TransactionPhase.PrepareCommit or TransactionPhase.CompleteCommit }
        : state is { Phase: TransactionPhase.PrepareAbort or TransactionPhase.CompleteAbort };

    private static void RequireFenced(ProducerIdentity producer, ErrorCode error, List<TransactionState?> window) => Verdict.Require(
        !window.TrueForAll(state => state?.NextProducer == producer), $"12: {producer} is refused with {error}, and is the current one");

    private static void RequireOlderConnection(OpenRequest request, TransactionCaller caller, string? message) => Verdict.Require(
        request.Client?.Connection > caller.Connection || request.Client?.Sequence > caller.Sequence
            || !message!.Contains("older connection", StringComparison.Ordinal),
        $"12: what {request.Client} sends over its own connection is taken for a request of an earlier transaction");

    private static void RequirePassing(ErrorCode error, string? message) =>
        Verdict.Require(TransactionSimulation.IsPassing(error), $"12: an unexpected answer: {error} {message}");
}
