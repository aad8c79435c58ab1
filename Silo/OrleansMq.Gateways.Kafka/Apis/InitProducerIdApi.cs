using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 22: allocates an id for an idempotent producer. A producer that lost its sequence (KIP-360) gets a new id instead of the
/// next epoch, which has the same effect.</summary>
internal sealed class InitProducerIdApi() : KafkaApi<InitProducerIdRequest>(ApiKey.InitProducerId, 0, 5, flexibleFrom: 2)
{
    /// <summary>The message for a client that begins a transaction.</summary>
    public const string NoTransactions =
        "This broker does not support transactions: remove 'transactional.id'. It supports idempotent producers.";

    protected override InitProducerIdRequest Read(ref RequestReader reader, short version)
    {
        var transactionalId = reader.ReadNullableString();
        reader.ReadInt32(); // A transaction's timeout.
        if (version >= 3)
        {
            reader.ReadInt64();
            reader.ReadInt16();
        }
        return new InitProducerIdRequest(transactionalId);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, InitProducerIdRequest request, ResponseWriter response)
    {
        var (error, identity) = request.TransactionalId is not null
            ? (ErrorCode.TransactionalIdAuthorizationFailed, new ProducerIdentity(-1, -1))
            : await TakeAsync(context).ConfigureAwait(false);
        response.WriteInt32(0);
        response.WriteError(error);
        response.WriteInt64(identity.ProducerId);
        response.WriteInt16(identity.ProducerEpoch);
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, ProducerIdentity Identity)> TakeAsync(RequestContext context)
    {
        try
        {
            return (ErrorCode.None, await context.Broker.InitProducerIdAsync(context.Aborted).ConfigureAwait(false));
        }
        catch (BrokerException refused)
        {
            // Clients retry this error, but not that of a storage that fails for a moment.
            return (refused.Action == ErrorAction.Retry ? ErrorCode.CoordinatorNotAvailable : refused.Code, new ProducerIdentity(-1, -1));
        }
    }
}

/// <summary>The body.</summary>
internal sealed record InitProducerIdRequest(string? TransactionalId);
