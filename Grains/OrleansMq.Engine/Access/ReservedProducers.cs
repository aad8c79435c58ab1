using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Access;

/// <summary>
/// Ids of producers that no client is given: those of dead letters, of scheduled records and of outboxes. A client that sent a batch under
/// the id of an outbox, which readers see in its messages, would make the broker take the outbox's next messages for repetitions.
/// </summary>
internal static class ReservedProducers
{
    /// <summary>The answer to a batch that is refused. It refuses the sender, and not what it sends: an outbox retries then, and parks
    /// nothing.</summary>
    public static ProduceResult Refusal { get; } = ProduceResult.Failed(ErrorCode.TopicAuthorizationFailed,
        $"Producer ids from {LetterProducers.FirstId} on are reserved for brokers and for outboxes of grains. Ask the broker for a "
        + "producer id (InitProducerId).");

    /// <summary>Whether a session may not send a batch. Code in the broker's own process sends those of outboxes.</summary>
    public static bool Refuses(BrokerSession session, ReadOnlySpan<byte> batch) => batch.Length >= RecordBatchHeader.Size
        && RecordBatchHeader.Read(batch) is { Magic: RecordBatches.Magic, ProducerId: >= LetterProducers.FirstId } header
        && !(session.Protocol == SessionProtocol.InProcess && header.ProducerEpoch == OutboxProducers.Epoch);
}
