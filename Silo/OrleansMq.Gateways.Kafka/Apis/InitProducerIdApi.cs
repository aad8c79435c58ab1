using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Transactions;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 22: gives the producer of a transactional id its next epoch, and fences earlier instances of it; or allocates an id for an
/// idempotent producer. One of those that lost its sequence (KIP-360) gets a new id instead of the next epoch, which has the same
/// effect.</summary>
internal sealed class InitProducerIdApi() : KafkaApi<InitProducerIdRequest>(ApiKey.InitProducerId, 0, 5, flexibleFrom: 2)
{
    private static readonly ProducerIdentity None = new(-1, -1);

    protected override InitProducerIdRequest Read(ref RequestReader reader, short version)
    {
        var transactionalId = reader.ReadNullableString();
        var timeout = reader.ReadInt32();
        return new InitProducerIdRequest(transactionalId, timeout,
            version >= 3 ? new ProducerIdentity(reader.ReadInt64(), reader.ReadInt16()) : None);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, InitProducerIdRequest request, ResponseWriter response)
    {
        var (error, identity) = (request.Current.ProducerId == None.ProducerId) != (request.Current.ProducerEpoch == None.ProducerEpoch)
            ? (ErrorCode.InvalidRequest, None)
            : request.TransactionalId is { } transactionalId ? await InitAsync(context, request, transactionalId).ConfigureAwait(false)
            : await TakeAsync(context).ConfigureAwait(false);
        response.WriteThrottle();
        response.WriteError(error);
        response.WriteInt64(identity.ProducerId);
        response.WriteInt16(identity.ProducerEpoch);
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, ProducerIdentity Identity)> InitAsync(RequestContext context,
        InitProducerIdRequest request, string transactionalId)
    {
        var given = await context.AskAsync(new InitTransactions
        {
            TransactionalId = transactionalId,
            Timeout = TimeSpan.FromMilliseconds(request.TimeoutMs),
            Current = request.Current == None ? null : request.Current,
            Caller = context.NextCaller(),
        }, context.Aborted).ConfigureAwait(false);
        return (TransactionErrors.OfInit(given.Error, context.Version), given.Producer);
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
            return (refused.Action == ErrorAction.Retry ? ErrorCode.CoordinatorNotAvailable : refused.Code, None);
        }
    }
}

/// <summary>The body.</summary>
/// <param name="TransactionalId">Null for an idempotent producer.</param>
/// <param name="TimeoutMs">How long a transaction may be open, in milliseconds.</param>
/// <param name="Current">The identity that the producer has; (-1, -1) for a new instance.</param>
internal sealed record InitProducerIdRequest(string? TransactionalId, int TimeoutMs, ProducerIdentity Current);
