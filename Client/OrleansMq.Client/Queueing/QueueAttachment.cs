using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>A consumer attached to one partition's queue. A request to settle is answered when that is stored, which may take longer than a
/// lock: renewals have requests of their own. Thread safe.</summary>
internal sealed class QueueAttachment
{
    private readonly SettlementLane _settlements;
    private readonly SettlementLane _renewals;
    private readonly CancellationTokenSource _ended = new();

    /// <summary>Prepares the attachment of a consumer.</summary>
    /// <param name="queues">Where it is attached.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="id">The consumer's id.</param>
    public QueueAttachment(IQueues queues, TopicPartition partition, Guid id)
    {
        (Partition, Id) = (partition, id);
        // The broker may hold the record for this consumer, which has no more to do with it: with the attachment it comes back.
        _settlements = new SettlementLane(settlements => queues.SettleAsync(partition, id, settlements), _ => End());
        _renewals = new SettlementLane(settlements => queues.SettleAsync(partition, id, settlements), static _ => { });
    }

    /// <summary>The partition.</summary>
    public TopicPartition Partition { get; }

    /// <summary>The consumer's id.</summary>
    public Guid Id { get; }

    /// <summary>Whether it serves no more: what it delivered is delivered again.</summary>
    public bool HasEnded => _ended.IsCancellationRequested;

    /// <summary>Is cancelled when it ends.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <summary>Ends it.</summary>
    public void End() => _ = _ended.CancelAsync();

    /// <summary>Completes when everything that was settled before is answered.</summary>
    public Task SettledAsync() => _settlements.IdleAsync();

    /// <summary>Settles; completes when it is answered.</summary>
    /// <exception cref="BrokerException">It was refused, or the outcome is unknown.</exception>
    public async Task SettleAsync(QueueSettlement settlement, CancellationToken cancellationToken)
    {
        var lane = settlement.Action == QueueAction.Renew ? _renewals : _settlements;
        var error = await lane.SettleAsync(settlement).WaitAsync(cancellationToken).ConfigureAwait(false);
        if (error != ErrorCode.None)
        {
            throw new BrokerException(error, $"The message at {Partition}, offset {settlement.First}, was not settled ({error}): "
                + "it is not held any more, or the broker cannot tell. It is delivered again, unless it was settled.");
        }
    }
}
