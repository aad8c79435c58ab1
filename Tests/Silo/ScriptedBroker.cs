using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo;

/// <summary>A broker whose data path a test can script, for outcomes that a healthy disk never produces.</summary>
public sealed class ScriptedBroker(IBroker inner) : ForwardingBroker(inner)
{
    /// <summary>Answers produce requests for which it returns a result.</summary>
    public Func<TopicPartition, Memory<byte>, ValueTask<ProduceResult>?>? OnProduce { get; set; }

    /// <summary>Answers fetches for which it returns a result.</summary>
    public Func<FetchRequest, CancellationToken, ValueTask<FetchResult>?>? OnFetch { get; set; }

    /// <summary>Replaces the administration, if set.</summary>
    public IClusterAdministration? OnAdministration { get; set; }

    /// <summary>Replaces the group coordinator, if set.</summary>
    public IGroupCoordinator? OnGroups { get; set; }

    /// <summary>Replaces the coordinator of transactions, if set.</summary>
    public ITransactionCoordinator? OnTransactions { get; set; }

    // A session keeps the coordinator that it has got.
    public override ITransactionCoordinator Transactions => field ??= new SwitchedTransactions(() => OnTransactions ?? base.Transactions);

    public override IGroupCoordinator Groups => OnGroups ?? base.Groups;

    public override IClusterAdministration Administration => OnAdministration ?? base.Administration;

    /// <summary>The number of batches sent so far.</summary>
    public int Produced;

    /// <summary>The level of the latest batch.</summary>
    public volatile int LatestAcks;

    public override ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default)
    {
        LatestAcks = (int)acks;
        Interlocked.Increment(ref Produced);
        return OnProduce?.Invoke(partition, batch) ?? base.ProduceAsync(partition, batch, acks, cancellationToken);
    }

    public override ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        OnFetch?.Invoke(request, cancellationToken) ?? base.FetchAsync(request, cancellationToken);

    private sealed class SwitchedTransactions(Func<ITransactionCoordinator> present) : ITransactionCoordinator
    {
        public ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken) =>
            present().SendAsync(request, cancellationToken);

        public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken) =>
            present().FindCoordinatorAsync(transactionalId, cancellationToken);

        public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken) =>
            present().ListTransactionsAsync(cancellationToken);
    }
}
