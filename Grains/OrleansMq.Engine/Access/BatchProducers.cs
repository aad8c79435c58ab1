using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Quotas;
using OrleansMq.Records;

namespace OrleansMq.Access;

/// <summary>
/// Which producer ids a session's batches may have. Ids of dead letters, of scheduled records and of outboxes are given to no client: one
/// that sent a batch under the id of an outbox, which readers see in its messages, would make the broker take the outbox's next messages
/// for repetitions. Others are as many as the quota <c>producer_ids</c> allows.
/// </summary>
internal static class BatchProducers
{
    /// <summary>The answer to a batch with a reserved id. It refuses the sender, and not what it sends: an outbox retries then, and parks
    /// nothing.</summary>
    public static ProduceResult Reserved { get; } = ProduceResult.Failed(ErrorCode.TopicAuthorizationFailed,
        $"Producer ids from {LetterProducers.FirstId} on are reserved for brokers and for outboxes of grains. Ask the broker for a "
        + "producer id (InitProducerId).");

    private static readonly ProduceResult _tooMany = ProduceResult.Failed(ErrorCode.PolicyViolation,
        $"The quota producer_ids is used up: the user writes with as many producer ids as it may, and each counts until it has been silent "
        + $"for {ActiveProducerIds.Silence.TotalMinutes:F0} minutes. Keep producers instead of making one for each message.");

    /// <summary>Whether a session may not send a batch. Code in the broker's own process sends those of outboxes.</summary>
    /// <param name="session">The sender, which may write the topic.</param>
    /// <param name="quotas">Its quotas; null for none.</param>
    /// <param name="batch">The batch.</param>
    /// <param name="refusal">The answer where it may not.</param>
    public static bool Refuses(BrokerSession session, ClientQuotas? quotas, ReadOnlySpan<byte> batch, out ProduceResult refusal)
    {
        refusal = default;
        if (batch.Length < RecordBatchHeader.Size || RecordBatchHeader.Read(batch) is not { Magic: RecordBatches.Magic } header)
            return false;
        if (header.ProducerId >= LetterProducers.FirstId)
        {
            refusal = Reserved;
            return !(session.Protocol == SessionProtocol.InProcess && header.ProducerEpoch == OutboxProducers.Epoch);
        }
        refusal = _tooMany;
        return quotas is not null && !quotas.AdmitsProducer(header.ProducerId);
    }
}
