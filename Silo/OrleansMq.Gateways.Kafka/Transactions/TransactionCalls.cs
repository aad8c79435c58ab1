using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;

namespace OrleansMq.Gateways.Kafka.Transactions;

/// <summary>Asks the coordinators of transactions, as the client of a request.</summary>
internal static class TransactionCalls
{
    /// <summary>Sends a request, of which every refusal is in the answer.</summary>
    public static async ValueTask<TResult> AskAsync<TResult>(this RequestContext context, ITransactionRequest<TResult> request,
        CancellationToken cancellationToken)
        where TResult : ITransactionAnswer
    {
        if (request.TransactionalId.Length == 0)
            return request.Answer(request.Refuse(ErrorCode.InvalidRequest, "The transactional id is empty: set transactional.id."));
        try
        {
            return await context.Broker.Transactions.SendAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            return request.Answer(request.Refuse(fault.Code, fault.Message));
        }
    }
}
