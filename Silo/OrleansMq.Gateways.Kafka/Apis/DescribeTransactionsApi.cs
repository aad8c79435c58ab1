using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 65: describes transactional ids and what each has open (KIP-664). Topics that the client may not describe are left
/// out.</summary>
internal sealed class DescribeTransactionsApi() : KafkaApi<DescribeTransactionsRequest>(ApiKey.DescribeTransactions, 0, 0, flexibleFrom: 0)
{
    protected override DescribeTransactionsRequest Read(ref RequestReader reader, short version) => new(reader.ReadStringArray());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DescribeTransactionsRequest request,
        ResponseWriter response)
    {
        var ids = request.TransactionalIds.Distinct().ToArray();
        response.WriteThrottle();
        response.WriteLength(ids.Length);
        foreach (var id in ids)
        {
            context.Aborted.ThrowIfCancellationRequested();
            var (error, transaction) = await DescribeAsync(context, id).ConfigureAwait(false);
            Write(context, response, id, error, transaction);
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, TransactionDescription? Transaction)> DescribeAsync(RequestContext context, string id)
    {
        if (id.Length == 0)
            return (ErrorCode.InvalidRequest, null);
        try
        {
            return (ErrorCode.None,
                await context.Broker.Transactions.SendAsync(new DescribeTransaction(id), context.Aborted).ConfigureAwait(false));
        }
        catch (BrokerException refused)
        {
            return (refused.Code, null);
        }
    }

    private static void Write(RequestContext context, ResponseWriter response, string id, ErrorCode error,
        TransactionDescription? transaction)
    {
        response.WriteError(error);
        response.WriteString(id);
        response.WriteString(transaction?.Phase.ToString() ?? "");
        response.WriteInt32((int)Math.Min(transaction?.Timeout.TotalMilliseconds ?? 0, int.MaxValue));
        response.WriteInt64(transaction is null ? 0 : transaction.StartedAt?.ToUnixTimeMilliseconds() ?? -1);
        response.WriteInt64(transaction?.Producer.ProducerId ?? 0);
        response.WriteInt16(transaction?.Producer.ProducerEpoch ?? 0);
        var topics = (transaction?.Partitions ?? []).GroupBy(static partition => partition.Topic, StringComparer.Ordinal)
            .Where(topic => context.Access.Allows(AccessOperation.Describe, ResourceType.Topic, topic.Key)).ToArray();
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteString(topic.Key);
            response.WriteInt32Array([.. topic.Select(static partition => partition.Partition).Distinct()]);
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeTransactionsRequest(string[] TransactionalIds);
