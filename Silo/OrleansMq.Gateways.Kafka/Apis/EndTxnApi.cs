using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Transactions;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 26: commits or aborts a transaction. From version 5 on the producer goes on with the epoch in the answer (KIP-890). The
/// answer comes when the decision is stored, before all partitions know.</summary>
internal sealed class EndTxnApi() : KafkaApi<EndTxnRequest>(ApiKey.EndTxn, 0, 5, flexibleFrom: 3)
{
    private const short RaisesEpochFrom = 5;

    protected override EndTxnRequest Read(ref RequestReader reader, short version) =>
        new(reader.ReadString(), new ProducerIdentity(reader.ReadInt64(), reader.ReadInt16()), reader.ReadBool());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, EndTxnRequest request, ResponseWriter response)
    {
        var ended = await context.AskAsync(new EndTransaction
        {
            TransactionalId = request.TransactionalId,
            Producer = request.Producer,
            IsCommit = request.IsCommit,
            RaisesEpoch = context.Version >= RaisesEpochFrom,
            Caller = context.NextCaller(),
        }, context.Aborted).ConfigureAwait(false);
        response.WriteThrottle();
        response.WriteError(TransactionErrors.OfEnd(ended.Error, context.Version));
        if (context.Version >= RaisesEpochFrom)
        {
            response.WriteInt64(ended.Producer.ProducerId);
            response.WriteInt16(ended.Producer.ProducerEpoch);
        }
        response.WriteNoTags();
        return true;
    }
}

/// <summary>The body.</summary>
internal sealed record EndTxnRequest(string TransactionalId, ProducerIdentity Producer, bool IsCommit);
