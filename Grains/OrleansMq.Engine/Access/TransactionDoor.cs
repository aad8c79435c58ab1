using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Access;

/// <summary>
/// Verifies the transactions that callers from outside name, as the Kafka gateway does: what is appended or committed under a number that
/// the coordinator did not give would be in a transaction that nothing ends. The coordinator is asked before the batch is offered to a
/// partition that is not known to have the transaction open, and for each commit of offsets. Thread safe.
/// </summary>
internal sealed class TransactionDoor(IBroker broker)
{
    /// <summary>Of how many producers in a partition that another broker leads it is remembered which transaction they have open.</summary>
    private const int MaxOpened = 10_000;

    private readonly Lock _gate = new();
    // Of each producer in a partition, for which the coordinator is asked, the last batch. The batches take turns until the transaction is
    // open there: a later batch must not open it before an earlier one. From then on each begins when the one before has begun.
    private readonly Dictionary<(long ProducerId, TopicPartition Partition), Task<Turn>> _opening = [];
    // Of partitions that another broker leads, the last transaction that was opened there over this one.
    private readonly Dictionary<(long ProducerId, TopicPartition Partition), (short Epoch, long Number)> _opened = [];

    /// <summary>Whether the word of a session is verified. The Kafka gateway asks by itself; code in process is trusted.</summary>
    public static bool Verifies(BrokerSession session) => session.Protocol is not (SessionProtocol.InProcess or SessionProtocol.Kafka);

    /// <summary>Appends a batch of a transaction. It is offered to the partition once, unless the transaction ends meanwhile.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="topicId">The topic's id; empty: it is looked up where it is needed.</param>
    /// <param name="served">The partition where this broker leads it; null where another one does.</param>
    /// <param name="producer">The batch's producer.</param>
    /// <param name="transaction">The transaction that the caller names.</param>
    /// <param name="append">Appends the batch, with the verified number; with 0 it is refused unless the transaction is open there.</param>
    public async ValueTask<ProduceResult> AppendAsync(TopicPartition partition, Guid topicId, Partition? served, ProducerIdentity producer,
        BatchTransaction transaction, Func<VerifiedTransaction, ValueTask<ProduceResult>> append)
    {
        var key = (producer.ProducerId, partition);
        if (transaction.Number <= 0)
            return await append(default).ConfigureAwait(false);
        if (IsOpen(key, served, producer, transaction))
        {
            // There is no await before this append: batches that are sent one after the other begin so.
            var appended = await append(default).ConfigureAwait(false);
            if (!IsNotOpen(appended))
                return appended;
        }
        // A batch that was refused as not in the transaction asks the coordinator itself, whose answer is final.
        for (var mustVerify = false; ; mustVerify = true)
        {
            var own = new TaskCompletionSource<Turn>(TaskCreationOptions.RunContinuationsAsynchronously);
            Task<Turn>? before;
            lock (_gate)
            {
                before = _opening.GetValueOrDefault(key);
                _opening[key] = own.Task;
            }
            var next = default(Turn);
            ProduceResult result;
            try
            {
                var turn = before is null ? default : await before.ConfigureAwait(false);
                if (turn.Refusal is { } refused)
                {
                    next = turn;
                    return refused;
                }
                if (mustVerify || !turn.HasOpened(producer, transaction))
                {
                    (result, next) = await OpenAsync(partition, topicId, producer, transaction, append).ConfigureAwait(false);
                    if (served is null && next.Number > 0)
                        NoteOpened(key, producer, transaction);
                    return result;
                }
                next = turn;
                var appending = append(default);
                // The next one begins. Where it is the last, later ones need not wait.
                Pass(key, own, next);
                result = await appending.ConfigureAwait(false);
            }
            finally
            {
                Pass(key, own, next);
            }
            if (!IsNotOpen(result))
                return result;
        }
    }

    private static bool IsNotOpen(in ProduceResult result) => result.Error == ErrorCode.TransactionAbortable;

    private bool IsOpen((long ProducerId, TopicPartition Partition) key, Partition? served, ProducerIdentity producer,
        BatchTransaction transaction)
    {
        lock (_gate)
        {
            if (_opening.ContainsKey(key))
                return false;
            if (served is null)
                return _opened.TryGetValue(key, out var opened) && opened == (producer.ProducerEpoch, transaction.Number);
        }
        return served.IsInTransaction(producer.ProducerId, producer.ProducerEpoch);
    }

    private void NoteOpened((long ProducerId, TopicPartition Partition) key, ProducerIdentity producer, BatchTransaction transaction)
    {
        lock (_gate)
        {
            // What is forgotten is verified again.
            if (_opened.Count >= MaxOpened && !_opened.ContainsKey(key))
                _opened.Clear();
            _opened[key] = (producer.ProducerEpoch, transaction.Number);
        }
    }

    private void Pass((long ProducerId, TopicPartition Partition) key, TaskCompletionSource<Turn> own, in Turn next)
    {
        lock (_gate)
        {
            if (_opening.GetValueOrDefault(key) == own.Task)
                _opening.Remove(key);
        }
        own.TrySetResult(next);
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

    // A refusal that passes is shared by the batches that wait.
    private async ValueTask<(ProduceResult Result, Turn Next)> OpenAsync(TopicPartition partition, Guid topicId, ProducerIdentity producer,
        BatchTransaction transaction, Func<VerifiedTransaction, ValueTask<ProduceResult>> append)
    {
        var result = await VerifyAndAppendAsync(partition, topicId, producer, transaction, append).ConfigureAwait(false);
        return (result, result.Error == ErrorCode.None ? new Turn(Refusal: null, producer.ProducerEpoch, transaction.Number)
            : result.Error.Action() == ErrorAction.Retry ? new Turn(result) : default);
    }

    private async ValueTask<ProduceResult> VerifyAndAppendAsync(TopicPartition partition, Guid topicId, ProducerIdentity producer,
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

    /// <summary>What the batch before says to the next one of its producer in a partition.</summary>
    /// <param name="Refusal">Why it was not appended, and the next one is not, either; null where that is decided by the next.</param>
    /// <param name="Epoch">The epoch of the transaction that it has opened.</param>
    /// <param name="Number">The number of that transaction; 0: it has opened none.</param>
    private readonly record struct Turn(ProduceResult? Refusal = null, short Epoch = 0, long Number = 0)
    {
        public bool HasOpened(ProducerIdentity producer, BatchTransaction transaction) =>
            Number == transaction.Number && Epoch == producer.ProducerEpoch;
    }
}
