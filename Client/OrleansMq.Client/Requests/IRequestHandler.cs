namespace OrleansMq.Client;

/// <summary>Handles requests, one per call. What it returns is the reply; what it throws is the error that the caller receives. A request
/// may come again, and is then handled again.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TRequest">The type of requests.</typeparam>
/// <typeparam name="TReply">The type of replies.</typeparam>
public interface IRequestHandler<TKey, TRequest, TReply>
{
    /// <summary>Handles a request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancelled at the request's deadline, and when the partition is no longer assigned to this
    /// consumer.</param>
    ValueTask<TReply> HandleAsync(ConsumeResult<TKey, TRequest> request, CancellationToken cancellationToken);
}

/// <summary>Answers the records of a consumer. It reads bytes, so that a request that cannot be deserialized is answered, too.</summary>
internal sealed class RequestMessageHandler<TKey, TRequest, TReply>(IRequestHandler<TKey, TRequest, TReply> handler,
    IResponder<TReply> responder, IDeserializer<TKey> keys, IDeserializer<TRequest> requests) : IMessageHandler<byte[]?, byte[]?>
{
    public async ValueTask HandleAsync(ConsumeResult<byte[]?, byte[]?> record, CancellationToken cancellationToken) =>
        await responder.AnswerAsync(record.Headers, stopping => handler.HandleAsync(Read(record), stopping), cancellationToken)
            .ConfigureAwait(false);

    private ConsumeResult<TKey, TRequest> Read(in ConsumeResult<byte[]?, byte[]?> record)
    {
        var part = "key";
        try
        {
            var key = keys.Deserialize(record.Key, isNull: record.Key is null);
            part = "value";
            return new ConsumeResult<TKey, TRequest>(record.TopicPartition, record.Offset, record.Timestamp, key,
                requests.Deserialize(record.Value, isNull: record.Value is null), record.Headers, record.LeaderEpoch)
            {
                TopicId = record.TopicId,
                IsTombstone = record.IsTombstone,
            };
        }
        catch (Exception e)
        {
            throw new DeserializationException(record.TopicPartition, record.Offset, part, e);
        }
    }
}
