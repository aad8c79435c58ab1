using System.Text.Json;
using Orleans.Concurrency;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.State;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>Lists the transactional ids of the index. Coordinators with an open transaction are asked; the others are read as they are
/// stored, so that a list activates none, but for those that have expired: their coordinators delete them. It keeps nothing, so every silo
/// has one.</summary>
[GrainType("omq.transaction-list")]
[StatelessWorker(1), Reentrant]
internal sealed class TransactionListGrain : Grain, ITransactionListGrain, IIncomingGrainCallFilter
{
    // Ids asked at a time: enough to overlap their reads, few enough to leave the store to commits.
    private const int AtATime = 64;

    private readonly ICoordinatorStores _stores;
    private readonly SiloBroker _broker;
    private readonly GrainDoor _door;
    // Callers share what is read.
    private readonly SharedRun<TransactionListing[]> _list;
    // The grain's own.
    private TaskScheduler _turns = TaskScheduler.Default;

    public TransactionListGrain(TransactionServices transactions, SiloBroker broker, GrainDoor door)
    {
        (_stores, _broker, _door) = (transactions.Stores, broker, door);
        _list = new(() => Task.Factory.StartNew(ListAllAsync, CancellationToken.None, TaskCreationOptions.None, _turns).Unwrap());
    }

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context) => _door.InvokeAsync(context);

    /// <inheritdoc/>
    public Task<TransactionListing[]> ListAsync(CancellationToken cancellationToken)
    {
        _turns = TaskScheduler.Current;
        return _list.ReadAsync(cancellationToken);
    }

    private async Task<TransactionListing[]> ListAllAsync()
    {
        var all = new List<TransactionListing>();
        try
        {
            foreach (var some in (await _stores.ListAsync()).Chunk(AtATime))
            {
                all.AddRange((await Task.WhenAll(some.Select(FindAsync))).OfType<TransactionListing>());
            }
        }
        catch (IOException failure)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"The list of transactional ids cannot be read. Retry. ({failure.Message})", failure);
        }
        return [.. all];
    }

    private async Task<TransactionListing?> FindAsync(string id)
    {
        TransactionDocument document;
        try
        {
            if (await _stores.ReadAsync(id) is not { } stored)
            {
                await _stores.ForgetAsync(id);
                return null;
            }
            document = TransactionDocument.Parse(stored.Value.Span);
        }
        catch (Exception damaged) when (damaged is JsonException or CorruptStateException)
        {
            return new TransactionListing(id, -1, TransactionPhase.Unknown, null); // A request to the id itself reports the reason.
        }
        var state = document.ToState();
        var isAsked = !state.IsAtRest
            || TransactionDecision.IsExpired(state, _broker.Options.Transactions, _broker.Options.TimeProvider.GetUtcNow());
        return isAsked ? await AskAsync(id, document.ToListing(id)) : document.ToListing(id);
    }

    // As it is stored, where no broker coordinates it at the moment; null where it is gone.
    private async Task<TransactionListing?> AskAsync(string id, TransactionListing stored)
    {
        try
        {
            return await GrainFactory.GetGrain<ITransactionGrain>(id).SendAsync(new DescribeTransaction(id)) switch
            {
                TransactionDescription description => description.ToListing(),
                TransactionReply { Error: ErrorCode.TransactionalIdNotFound } => null,
                _ => stored,
            };
        }
        catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
        {
            return stored;
        }
    }
}
