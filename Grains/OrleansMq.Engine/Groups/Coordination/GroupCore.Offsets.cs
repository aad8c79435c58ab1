using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;

namespace OrleansMq.Groups.Coordination;

internal sealed partial class GroupCore
{
    private void Commit(CoordinatorRequest request, OffsetCommit commit)
    {
        var refusal = _membership.CheckCommit(commit);
        if (refusal.Error != ErrorCode.None)
        {
            HoldRefusal(request, refusal);
            return;
        }
        Touch(commit.MemberId);
        Hold(request, _offsets.Commit(commit, _topics, Now, _membership.PartitionCheckOf(commit, _topics)), commit.MemberId);
    }

    private void Commit(CoordinatorRequest request, TransactionOffsetCommit commit)
    {
        var refusal = _membership.CheckCommit(commit);
        if (refusal.Error != ErrorCode.None)
        {
            HoldRefusal(request, refusal);
            return;
        }
        Touch(commit.MemberId);
        var result = _offsets.Commit(commit, _topics, Now, _membership.PartitionCheckOf(commit, _topics));
        if (result.Partitions.Any(static partition => partition.Error is ErrorCode.ConcurrentTransactions
            or ErrorCode.CoordinatorLoadInProgress))
            LookAtTransactions();
        // A coordinator that was replaced does not learn of the older transaction's end: its caller would retry here for ever.
        if (result.Partitions.Any(static partition => partition.Error == ErrorCode.ConcurrentTransactions))
            HoldConfirmed(request, result);
        else
            Hold(request, result, commit.MemberId);
    }

    /// <inheritdoc/>
    /// <remarks>The end of a transaction needs a group only to refuse a commit that arrives late. Where there is no room for one, that
    /// commit finds none either, and the transaction does not have to wait until groups are deleted.</remarks>
    protected override object Refuse(CoordinatorRequest request, ErrorCode error, string message) =>
        request.Body is EndTransactionOffsets && error == ErrorCode.PolicyViolation ? default(GroupReply)
            : base.Refuse(request, error, message);

    private void Fetch(CoordinatorRequest request, OffsetFetch fetch)
    {
        var refusal = _membership.CheckFetch(fetch);
        if (refusal.Error != ErrorCode.None)
        {
            HoldRefusal(request, refusal);
            return;
        }
        var result = _offsets.Fetch(fetch, _topics);
        if (result.Partitions.Any(static partition => partition.Error == ErrorCode.UnstableOffsetCommit))
            LookAtTransactions();
        if (fetch.AllowStale)
            Hold(request, result);
        else
            HoldConfirmed(request, result);
    }

    // Open transactions are in the way of a request.
    private void LookAtTransactions()
    {
        foreach (var question in _inTheWay.Look(_offsets.Pending, Now))
            Emit(question);
    }

    private void EndIfItHangs(TransactionTold told)
    {
        if (IsDeposed || IsRecovering || _inTheWay.FindWhyItHangs(told, Now) is not { } reason)
            return;
        if (_offsets.Discard(_groupId, told.ProducerId, told.Number, Now))
            Log(EngineLogLevel.Error, $"the offsets of a hanging transaction, {told.Number} of producer {told.ProducerId}, are discarded: "
                + $"{reason}.");
    }

    private void DeleteOffsets(CoordinatorRequest request, OffsetDelete delete)
    {
        if (_membership.SubscribedTopics() is { } subscribed)
            HoldConfirmed(request, _offsets.Delete(delete, _topics, subscribed));
        else
            HoldRefusal(request, new GroupReply(ErrorCode.NonEmptyGroup,
                "The group has members whose subscriptions cannot be read, since they are not consumers: stop them first."));
    }
}
