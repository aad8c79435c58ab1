using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Offsets;

/// <summary>
/// The decisions on offsets that are committed within a transaction, and on its end. Pure.
/// </summary>
/// <remarks>
/// A producer's transactions are numbered. A newer one begins when all participants of the older have ended it. Requests arrive twice,
/// late, and after others that were sent later.
/// <code>
/// commit   an older epoch of the producer          fenced       a newer instance, or the end of the transaction, has fenced it
///          a number that has ended here            refused      it was verified before the end: nothing would end it again
///          a number above that of the open one     concurrent   the older one is still to be ended
///          otherwise                               pending
/// end      a number that has ended here            nothing      it came twice or late: it must not end the transaction after it
///          an older coordinator                    fenced       a newer one decides about the producer's transactions
///          otherwise                               ends         what is pending of that number; the fence is set in any case
/// </code>
/// So the end counts where nothing is pending, too, and where there is no group: a commit that was verified before may arrive after it.
/// </remarks>
internal static class TransactionOffsetDecision
{
    /// <summary>How long a fence is kept. It must outlast every request that was sent before the end: callers give a request up within
    /// minutes, and a process that was stopped for an hour has lost its connections.</summary>
    internal static readonly TimeSpan FenceRetention = TimeSpan.FromHours(1);

    /// <summary>The most fences of a group. Each is some 100 bytes of the document that every commit writes. Where more producers end
    /// transactions in one group within an hour, the oldest fences go first. A commit that arrives later is pending until it is in the way
    /// of a request for long: then the transaction's coordinator is asked, and its offsets are discarded.</summary>
    internal const int MaxFences = 5_000;

    /// <summary>The commit as one outside of transactions, for checks that are the same.</summary>
    public static OffsetCommit AsCommit(TransactionOffsetCommit request) => new()
    {
        GroupId = request.GroupId,
        MemberId = request.MemberId,
        GroupInstanceId = request.GroupInstanceId,
        GenerationIdOrMemberEpoch = request.GenerationIdOrMemberEpoch,
        Offsets = request.Offsets,
    };

    /// <summary>Whether a commit names no member. It is accepted whatever members the group has: the clients of before KIP-447 have one
    /// producer for each partition, which fences by its epoch.</summary>
    public static bool NamesNoMember(TransactionOffsetCommit request) =>
        request is { GenerationIdOrMemberEpoch: < 0, MemberId: "", GroupInstanceId: null };

    /// <summary>The error within a transaction for one of a commit. Producers do not know that a group rebalances, and give up for good;
    /// a former generation lets them abort, and read again after the rebalance.</summary>
    public static ErrorCode ErrorWithin(ErrorCode error) =>
        error == ErrorCode.RebalanceInProgress ? ErrorCode.IllegalGeneration : error;

    /// <summary>Adds the offsets that can be added to those of the transaction; each partition has its own result.</summary>
    /// <param name="offsets">The offsets.</param>
    /// <param name="request">The commit.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="options">Limits.</param>
    /// <param name="now">The current time.</param>
    /// <param name="check">Whether the committer may commit for a partition of the topic that its offset resolves to; null: all.</param>
    public static OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, TransactionOffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check = null)
    {
        if (FindRefusal(offsets, request, options) is { } refusal)
            return new(offsets, refusal);
        var answers = OffsetDecision.Check(offsets, request.Offsets, topics, options, check, out var accepted);
        if (accepted.Count == 0)
            return new(offsets, new OffsetCommitResult(answers));
        var transaction = offsets.Pending.Find(request.Producer.ProducerId) ?? new PendingTransaction
        {
            TransactionalId = request.TransactionalId,
            Epoch = request.Producer.ProducerEpoch,
            Number = request.Number,
        };
        transaction = transaction with
        {
            Epoch = request.Producer.ProducerEpoch,
            Offsets = transaction.Offsets.SetItems(accepted.Select(offset => KeyValuePair.Create(
                new TopicPartition(offset.Topic.Name, offset.Partition),
                new PendingOffset(offset.Topic.TopicId, offset.Offset with { CommitTimestamp = now.ToUnixTimeMilliseconds() })))),
        };
        return new(offsets with { Pending = offsets.Pending.With(request.Producer.ProducerId, transaction) },
            new OffsetCommitResult(answers));
    }

    private static OffsetCommitResult? FindRefusal(GroupOffsets offsets, TransactionOffsetCommit request, GroupOptions options)
    {
        var (producerId, epoch) = request.Producer;
        if (FindProblem(request.Producer, request.Number) is { } problem)
            return Refuse(ErrorCode.InvalidRequest, problem);
        var pending = offsets.Pending.Find(producerId);
        var fence = offsets.Fences.GetValueOrDefault(producerId);
        if (epoch < fence.Epoch || epoch < pending?.Epoch)
            return Refuse(ErrorCode.InvalidProducerEpoch, $"Epoch {epoch} of producer {producerId} is fenced: a newer instance of "
                + $"transactional id '{request.TransactionalId}', or the end of its transaction, has raised it to "
                + $"{Math.Max(fence.Epoch, pending?.Epoch ?? 0)}.");
        if (request.Number <= fence.Number || request.Number < pending?.Number)
            return Refuse(ErrorCode.TransactionAbortable, $"Transaction {request.Number} of transactional id "
                + $"'{request.TransactionalId}' has ended: these offsets are not committed. Abort, and commit them in the next one.");
        if (pending is null && offsets.Pending.Transactions.Count >= options.MaxPendingTransactions)
            return Refuse(ErrorCode.CoordinatorLoadInProgress, $"Group '{request.GroupId}' has offsets of "
                + $"{options.MaxPendingTransactions} open transactions, the most there may be. Retry when some of them have ended: see omq "
                + "transaction list --open.");
        return request.Number > pending?.Number
            ? Refuse(ErrorCode.ConcurrentTransactions, $"Transaction {pending.Number} of transactional id '{request.TransactionalId}' is "
                + "being ended; retry.")
            : null;

        OffsetCommitResult Refuse(ErrorCode error, string message) =>
            (OffsetCommitResult)((ICoordinatorRequest)request).Refuse(error, message);
    }

    /// <summary>Ends a transaction: its offsets take effect, or are discarded.</summary>
    /// <param name="offsets">The offsets.</param>
    /// <param name="request">The end.</param>
    /// <param name="now">The current time.</param>
    public static OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now)
    {
        var (producerId, epoch) = request.Producer;
        if (FindProblem(request.Producer, request.Number) is { } problem)
            return new(offsets, new GroupReply(ErrorCode.InvalidRequest, problem));
        var fence = offsets.Fences.GetValueOrDefault(producerId);
        if (request.Number <= fence.Number)
            return new(offsets, default);
        if (request.CoordinatorEpoch < fence.CoordinatorEpoch)
            return new(offsets, new GroupReply(ErrorCode.TransactionCoordinatorFenced,
                $"Coordinator epoch {request.CoordinatorEpoch} of producer {producerId} is fenced: a coordinator of epoch "
                + $"{fence.CoordinatorEpoch} has ended a later transaction."));
        var next = offsets.EndTransaction(producerId, request.Number, request.IsCommit);
        return new(next with
        {
            Fences = Bound(next.Fences).SetItem(producerId, new ProducerFence(request.Number, Math.Max(epoch, fence.Epoch),
                request.CoordinatorEpoch, now.ToUnixTimeMilliseconds())),
        }, default);
    }

    private static string? FindProblem(ProducerIdentity producer, long number) =>
        producer.ProducerId < 0 ? $"The producer id is {producer.ProducerId}: it is 0 or above."
        : producer.ProducerEpoch < 0 ? $"The producer epoch is {producer.ProducerEpoch}: it is 0 or above."
        : number <= 0 ? $"The number of the transaction is {number}: it is 1 or above, as its coordinator gave it." : null;

    // A tenth at a time, so that not every end has to look for the oldest.
    private static ImmutableSortedDictionary<long, ProducerFence> Bound(ImmutableSortedDictionary<long, ProducerFence> fences) =>
        fences.Count < MaxFences ? fences
            : fences.RemoveRange(fences.OrderBy(static fence => fence.Value.EndedAt).Take(MaxFences / 10)
                .Select(static fence => fence.Key));

    /// <summary>Forgets fences that are older than <see cref="FenceRetention"/>.</summary>
    public static GroupOffsets Forget(GroupOffsets offsets, DateTimeOffset now)
    {
        var fences = offsets.Fences.RemoveRange(
            offsets.Fences.Where(fence => fence.Value.ForgottenAt <= now).Select(static fence => fence.Key));
        return ReferenceEquals(fences, offsets.Fences) ? offsets : offsets with { Fences = fences };
    }
}
