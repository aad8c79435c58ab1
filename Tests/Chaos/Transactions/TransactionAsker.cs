using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>Describes transactional ids over the broker's own API until it is stopped. That tells the numbers of transactions, which
/// Kafka's protocol does not.</summary>
internal sealed class TransactionAsker(ITransactionCoordinator transactions, Action<TransactionEvent> take, RunLog log)
{
    // Each answer costs its coordinator a read of the store.
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>Asks again and again, for each id on its own: a coordinator that does not answer holds no other id up.</summary>
    public Task RunAsync(IEnumerable<string> ids, CancellationToken stop) =>
        Task.WhenAll(ids.Select(id => Task.Run(() => RepeatAsync(id, stop), CancellationToken.None)));

    private async Task RepeatAsync(string id, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await AskAsync(id, stop);
            await Task.Delay(Pause, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task AskAsync(string id, CancellationToken stop)
    {
        var asked = TransactionProgram.Nanos();
        TransactionEvent told;
        try
        {
            var described = await transactions.SendAsync(new DescribeTransaction(id), stop);
            told = TransactionProgram.Event(TransactionEventKind.Described, id, asked, described.Producer.ProducerId,
                described.Producer.ProducerEpoch, described.Number, described.Phase);
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.TransactionalIdNotFound)
        {
            told = TransactionProgram.Event(TransactionEventKind.Described, id, asked, -1, -1, -1, "None");
        }
        catch (Exception away) when (away is BrokerException or OperationCanceledException)
        {
            if (!stop.IsCancellationRequested)
                log.Note($"the description of {id}: {away.Message}");
            return;
        }
        log.Note($"asker: {told.ToLine()}");
        take(told);
    }
}
