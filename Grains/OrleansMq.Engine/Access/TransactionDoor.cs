using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Access;

/// <summary>
/// Verifies the transactions that callers from outside name, as the Kafka gateway does: what is appended or committed under a number that
/// the coordinator did not give would be in a transaction that nothing ends. The coordinator is asked where the partition does not have the
/// transaction open, and for each commit of offsets. Thread safe.
/// </summary>
internal sealed class TransactionDoor(IBroker broker)
{
    private readonly Lock _gate = new();
    // Of each producer in a partition, for which the coordinator is asked, the last batch: the batches take turns until the transaction is
    // open there. Those that wait share a refusal that passes: a later batch must not open the transaction before an earlier one.
    private readonly Dictionary<(long ProducerId, TopicPartition Partition), Task<ProduceResult?>> _opening = [];

    /// <summary>Whether the word of a session is verified. The Kafka gateway asks by itself; code in process is trusted.</summary>
    public static bool Verifies(BrokerSession session) => session.Protocol is not (SessionProtocol.InProcess or SessionProtocol.Kafka);

    /// <summary>Appends a batch of a transaction.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="topicId">The topic's id; empty: it is looked up where it is needed.</param>
    /// <param name="producer">The batch's producer.</param>
    /// <param name="transaction">The transaction that the caller names.</param>
    /// <param name="append">Appends the batch, with the verified number; with 0 it is refused unless the transaction is open there.</param>
    public async ValueTask<ProduceResult> AppendAsync(TopicPartition partition, Guid topicId, ProducerIdentity producer,
        BatchTransaction transaction, Func<VerifiedTransaction, ValueTask<ProduceResult>> append)
    {
        var key = (producer.ProducerId, partition);
        if (!IsOpening(key) && await append(default).ConfigureAwait(false) is var first && !NeedsOpening(first, transaction))
            return first;
        var turn = new TaskCompletionSource<ProduceResult?>(TaskCreationOptions.RunContinuationsAsynchronously);
        ProduceResult? passing = null;
        Task<ProduceResult?>? before;
        lock (_gate)
        {
            before = _opening.GetValueOrDefault(key);
            _opening[key] = turn.Task;
        }
        try
        {
            if (before is not null)
            {
                passing = await before.ConfigureAwait(false);
                if (passing is { } refused)
                    return refused;
                var result = await append(default).ConfigureAwait(false);
                if (!NeedsOpening(result, transaction))
                    return result;
            }
            var opened = await OpenAsync(partition, topicId, producer, transaction, append).ConfigureAwait(false);
            if (opened.Error.Action() == ErrorAction.Retry)
                passing = opened;
            return opened;
        }
        finally
        {
            lock (_gate)
            {
                if (_opening[key] == turn.Task)
                    _opening.Remove(key);
            }
            turn.SetResult(passing);
        }
    }

    private static bool NeedsOpening(in ProduceResult result, in BatchTransaction transaction) =>
        result.Error == ErrorCode.TransactionAbortable && transaction.Number > 0;

    private bool IsOpening((long ProducerId, TopicPartition Partition) key)
    {
        lock (_gate)
            return _opening.ContainsKey(key);
    }

    /// <summary>Verifies the transaction of offsets.</summary>
    /// <param name="commit">The offsets.</param>
    /// <param name="groupId">The group that takes them.</param>
    /// <param name="cancellationToken">Cancels the question.</param>
    /// <returns>The refusal; null where they are of the group's open transaction.</returns>
    public async ValueTask<object?> RefusesAsync(TransactionOffsetCommit commit, string groupId, CancellationToken cancellationToken)
    {
        var (error, message) = await VerifyAsync(commit.TransactionalId, commit.Producer, commit.Number, [], [groupId],
            cancellationToken).ConfigureAwait(false);
        return error == ErrorCode.None ? null : ((ICoordinatorRequest)commit).Refuse(error, message!);
    }

    private async ValueTask<ProduceResult> OpenAsync(TopicPartition partition, Guid topicId, ProducerIdentity producer,
        BatchTransaction transaction, Func<VerifiedTransaction, ValueTask<ProduceResult>> append)
    {
        // To its end, as an append.
        try
        {
            if (topicId == default)
                topicId = (await broker.GetTopicAsync(partition.Topic, CancellationToken.None).ConfigureAwait(false)).TopicId;
        }
        catch (BrokerException refused)
        {
            return ProduceResult.Failed(refused.Code, refused.Message);
        }
        var (error, message) = await VerifyAsync(transaction.TransactionalId, producer, transaction.Number,
            [new TransactionPartition(partition.Topic, partition.Partition, topicId)], [], CancellationToken.None)
            .ConfigureAwait(false);
        return error == ErrorCode.None ? await append(new VerifiedTransaction(transaction.Number)).ConfigureAwait(false)
            : ProduceResult.Failed(error, message!);
    }

    private async ValueTask<(ErrorCode Error, string? Message)> VerifyAsync(string transactionalId, ProducerIdentity producer, long number,
        IReadOnlyList<TransactionPartition> partitions, IReadOnlyList<string> groups, CancellationToken cancellationToken)
    {
        AddToTransactionResult answer;
        try
        {
            answer = await broker.Transactions.SendAsync(new AddToTransaction
            {
                TransactionalId = transactionalId,
                Producer = producer,
                Partitions = partitions,
                Groups = groups,
                VerifyOnly = true,
            }, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            return (fault.Code, fault.Message);
        }
        return answer.Error switch
        {
            ErrorCode.None when answer.Number == number => (ErrorCode.None, null),
            ErrorCode.None => (ErrorCode.TransactionAbortable, $"The open transaction of '{transactionalId}' is {answer.Number}, not "
                + $"{number}: give the number that adding to the transaction has answered."),
            // Its end alone tells a producer that it is fenced; here it aborts.
            ErrorCode.ProducerFenced => (ErrorCode.InvalidProducerEpoch, answer.Message),
            _ => (answer.Error, answer.Message ?? $"The transaction of '{transactionalId}' cannot be verified: {answer.Error}."),
        };
    }

    /// <summary>The producer of a batch; no producer where it is none.</summary>
    public static ProducerIdentity ProducerOf(ReadOnlySpan<byte> batch) =>
        batch.Length >= RecordBatchHeader.Size && RecordBatchHeader.Read(batch) is { Magic: RecordBatches.Magic } header
            ? new ProducerIdentity(header.ProducerId, header.ProducerEpoch) : new ProducerIdentity(-1, -1);
}
