using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Transactions;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 24: adds partitions to a transaction, before their first batch is sent. All of them, or none. Versions from 4 on are those
/// of brokers among each other.</summary>
internal sealed class AddPartitionsToTxnApi() : KafkaApi<AddPartitionsToTxnRequest>(ApiKey.AddPartitionsToTxn, 0, 3, flexibleFrom: 3)
{
    protected override AddPartitionsToTxnRequest Read(ref RequestReader reader, short version)
    {
        var transactionalId = reader.ReadString();
        var producer = new ProducerIdentity(reader.ReadInt64(), reader.ReadInt16());
        var topics = new TransactionTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            topics[index] = new TransactionTopic(reader.ReadString(), reader.ReadInt32Array());
            reader.SkipTags();
        }
        return new AddPartitionsToTxnRequest(transactionalId, producer, topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, AddPartitionsToTxnRequest request, ResponseWriter response)
    {
        var errors = await AddAsync(context, request).ConfigureAwait(false);
        var next = 0;
        response.WriteThrottle();
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                response.WriteInt32(partition);
                response.WriteError(errors[next++]);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    // One error a partition, in the order of the request.
    private static async ValueTask<ErrorCode[]> AddAsync(RequestContext context, AddPartitionsToTxnRequest request)
    {
        var errors = new ErrorCode[request.Topics.Sum(static topic => topic.Partitions.Length)];
        if (!context.Access.Authorizes(AccessOperation.Write, ResourceType.TransactionalId, request.TransactionalId))
        {
            Array.Fill(errors, ErrorCode.TransactionalIdAuthorizationFailed);
            return errors;
        }
        var partitions = new List<TransactionPartition>(errors.Length);
        var next = 0;
        foreach (var topic in request.Topics)
        {
            var mayWrite = context.Access.Authorizes(AccessOperation.Write, ResourceType.Topic, topic.Name);
            var known = mayWrite ? context.Services.Metadata.Image.FindServed(topic.Name) : null;
            foreach (var number in topic.Partitions)
            {
                if (known is not null && (uint)number < (uint)known.Serving)
                    partitions.Add(new TransactionPartition(topic.Name, number, known.TopicId));
                else
                    errors[next] = mayWrite ? ErrorCode.UnknownTopicOrPartition : ErrorCode.TopicAuthorizationFailed;
                next++;
            }
        }
        if (partitions.Count < errors.Length)
        {
            for (var index = 0; index < errors.Length; index++)
                errors[index] = errors[index] == ErrorCode.None ? ErrorCode.OperationNotAttempted : errors[index];
            return errors;
        }
        if (partitions.Count == 0)
            return errors;
        var added = await context.AskAsync(new AddToTransaction
        {
            TransactionalId = request.TransactionalId,
            Producer = request.Producer,
            Partitions = [.. partitions.Distinct()],
            Caller = context.NextCaller(),
        }, context.Aborted).ConfigureAwait(false);
        Array.Fill(errors, TransactionErrors.OfAddPartitions(added.Error, context.Version));
        return errors;
    }
}

/// <summary>The body.</summary>
internal sealed record AddPartitionsToTxnRequest(string TransactionalId, ProducerIdentity Producer, TransactionTopic[] Topics);

/// <summary>Partitions of one topic.</summary>
internal sealed record TransactionTopic(string Name, int[] Partitions);
