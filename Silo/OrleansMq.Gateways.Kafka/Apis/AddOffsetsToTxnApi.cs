using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Transactions;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 25: adds a group to a transaction, before its offsets are committed in it.</summary>
internal sealed class AddOffsetsToTxnApi() : KafkaApi<AddOffsetsToTxnRequest>(ApiKey.AddOffsetsToTxn, 0, 4, flexibleFrom: 3)
{
    protected override AddOffsetsToTxnRequest Read(ref RequestReader reader, short version) =>
        new(reader.ReadString(), new ProducerIdentity(reader.ReadInt64(), reader.ReadInt16()), reader.ReadString());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, AddOffsetsToTxnRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteError(TransactionErrors.OfAddOffsets(await AddAsync(context, request).ConfigureAwait(false), context.Version));
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<ErrorCode> AddAsync(RequestContext context, AddOffsetsToTxnRequest request)
    {
        if (GroupId.FindProblem(request.GroupId) is not null)
            return ErrorCode.InvalidGroupId;
        var added = await context.AskAsync(new AddToTransaction
        {
            TransactionalId = request.TransactionalId,
            Producer = request.Producer,
            Groups = [request.GroupId],
            Caller = context.NextCaller(),
        }, context.Aborted).ConfigureAwait(false);
        return added.Error;
    }
}

/// <summary>The body.</summary>
internal sealed record AddOffsetsToTxnRequest(string TransactionalId, ProducerIdentity Producer, string GroupId);
