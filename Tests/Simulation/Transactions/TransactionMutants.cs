using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

// Each mutant is the shipped coordinator with one wrong decision.

// --- Ownership of the document, and storage ---

internal sealed class AnsweredBeforeStored : TransactionRules
{
    public override bool IsStored(int document, long revealed, long stored) => true;
}

internal sealed class NeverDeposed : TransactionRules
{
    public override bool IsOthers(CoordinatorClaim writer, CoordinatorClaim own, bool wasEverClaimed) => false;
    public override bool IsClaimed(int document, CoordinatorClaim? writer, CoordinatorClaim own) => true;
}

internal sealed class FailedIsNotRead : TransactionRules
{
    public override bool MustReadAfter(StoreFailed failed) => false;
}

internal sealed class CoalescedIsWritten : TransactionRules
{
    public override long StoredBy(long written, long working) => working;
}

internal sealed class RefusedWithoutConfirmation : TransactionRules
{
    public override long ConfirmedFrom(long begun) => 0;
}

internal sealed class AddedWithoutConfirmation : TransactionRules
{
    public override bool MustConfirm(ICoordinatorRequest request, ITransactionAnswer answer) => answer.Error != ErrorCode.None;
}

// --- The end of a transaction ---

internal sealed class ToldBeforeStored : TransactionRules
{
    public override bool MayTell(bool isCertain) => true;
}

internal sealed class LateCommitEndsTheNext : TransactionRules
{
    public override bool IsOfEarlierConnection(TransactionConnection connection, TransactionConnection filledOver) => false;
}

internal sealed class ConnectionIsForgotten : TransactionRules
{
    // The youngest connection is not stored: only the one that began the transaction is known.
    public override TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now) => Forget(state, base.Add(state, request, options, now));

    public override TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now) =>
        Forget(state, base.End(state, request, freshId, now));

    // Where the end raises the epoch, no connection is known, as without the fault.
    private static TransactionOutcome Forget(TransactionState? state, TransactionOutcome outcome) =>
        state is { Phase: TransactionPhase.Ongoing } && outcome.Next is { RaisesEpoch: false } next
            ? outcome with { Next = next with { Connection = state.Connection } } : outcome;
}

internal sealed class ConnectionEndsWithItsTransaction : TransactionRules
{
    public override TransactionState Complete(TransactionState state, DateTimeOffset now) =>
        base.Complete(state, now) with { Connection = default };
}

internal sealed class RepetitionOverTheSameConnectionCounts : TransactionRules
{
    public override bool IsOfEarlierConnection(TransactionConnection connection, TransactionConnection filledOver) =>
        base.IsOfEarlierConnection(connection with { Sequence = 0 }, filledOver);
}

internal sealed class ConnectionOutlivesItsEpoch : TransactionRules
{
    public override TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now)
    {
        var outcome = base.Init(state, request, freshId, options, now);
        return state is { IsAtRest: true } && outcome.Next is { } next && !ReferenceEquals(next, state)
            ? outcome with { Next = next with { Connection = state.Connection } } : outcome;
    }
}

internal sealed class OppositeIsRepeated : TransactionRules
{
    public override TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now) =>
        base.End(state, state is { Phase: TransactionPhase.CompleteAbort } ? request with { IsCommit = false } : request, freshId, now);
}

internal sealed class NextBeginsBeforeCompletion : TransactionRules
{
    public override TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now) =>
        base.Add(state is { IsEnding: true } ? TransactionDecision.Complete(state, now) : state, request, options, now);
}

internal sealed class SameNumberAgain : TransactionRules
{
    public override TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now)
    {
        var outcome = base.Add(state, request, options, now);
        return state is { IsAtRest: true, Number: > 0 } && outcome.Next is { Phase: TransactionPhase.Ongoing }
            ? new(outcome.Next with { Number = state.Number }, new AddToTransactionResult(ErrorCode.None, state.Number)) : outcome;
    }
}

internal sealed class NeverLate : TransactionRules
{
    public override bool IsLate(TransactionState state, DateTimeOffset now) => false;
}

internal sealed class OpenIsForgotten : TransactionRules
{
    public override bool IsExpired(TransactionState state, TransactionOptions options, DateTimeOffset now) =>
        !state.IsEnding && state.UpdatedAt + options.IdExpiration <= now;
}

// --- What a transaction has ---

internal sealed class PartitionIsNotListed : TransactionRules
{
    public override TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now)
    {
        var outcome = base.Add(state, request, options, now);
        return state is { Phase: TransactionPhase.Ongoing } && outcome.Next is { } next
            ? outcome with { Next = next with { Partitions = state.Partitions } } : outcome;
    }
}

internal sealed class GroupIsNotListed : TransactionRules
{
    public override TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now)
    {
        var outcome = base.Add(state, request, options, now);
        return state is { Phase: TransactionPhase.Ongoing } && outcome.Next is { } next
            ? outcome with { Next = next with { Groups = state.Groups } } : outcome;
    }
}

internal sealed class AllIsVerified : TransactionRules
{
    public override TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now) => request.VerifyOnly && state is { Phase: TransactionPhase.Ongoing }
            ? base.Add(state, request with { Partitions = [], Groups = [] }, options, now) : base.Add(state, request, options, now);
}

// --- Epochs ---

internal sealed class TimeoutFencesNothing : TransactionRules
{
    public override TransactionState? Fence(TransactionState state, long freshId, DateTimeOffset now, string reason, short lastEpoch) =>
        base.Fence(state, freshId, now, reason, lastEpoch) is { } fenced
            ? fenced with { Epoch = state.Epoch, RaisesEpoch = false, LastEpoch = -1, NextProducerId = -1 } : null;
}

internal sealed class OperatorFencesNothing : TransactionRules
{
    public override TransactionOutcome Abort(TransactionState? state, AbortTransaction request, long freshId, DateTimeOffset now)
    {
        var outcome = base.Abort(state, request, freshId, now);
        return state is { Phase: TransactionPhase.Ongoing } && outcome.Next is { IsEnding: true } next
            ? outcome with { Next = next with { Epoch = state.Epoch, RaisesEpoch = false, LastEpoch = -1, NextProducerId = -1 } } : outcome;
    }
}

internal sealed class NewInstanceGetsTheSameEpoch : TransactionRules
{
    public override TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now) => state is { Phase: TransactionPhase.Empty }
            ? new(state, new InitTransactionsResult(ErrorCode.None, state.Producer)) : base.Init(state, request, freshId, options, now);
}

internal sealed class NewInstanceLeavesTheOldOneOpen : TransactionRules
{
    public override TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now)
    {
        if (state is not { Phase: TransactionPhase.Ongoing, IsExhausted: false } || request.Current is not null)
            return base.Init(state, request, freshId, options, now);
        var next = state with { Epoch = (short)(state.Epoch + 1), UpdatedAt = now };
        return new(next, new InitTransactionsResult(ErrorCode.None, next.Producer));
    }
}

internal sealed class AnyEpochAdds : TransactionRules
{
    public override TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options,
        DateTimeOffset now) => base.Add(state, state is { IsEnding: false } && state.ProducerId == request.Producer.ProducerId
            ? request with { Producer = state.Producer } : request, options, now);
}

internal sealed class AnyEpochEnds : TransactionRules
{
    public override TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now) =>
        base.End(state, state is { Phase: TransactionPhase.Ongoing } && state.ProducerId == request.Producer.ProducerId
            ? request with { Producer = state.Producer } : request, freshId, now);
}

internal sealed class EpochsAreNeverUsedUp : TransactionRules
{
    public override TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now)
    {
        if (state is not { IsAtRest: true, IsExhausted: true, Epoch: < short.MaxValue } || request.Current is not null)
            return base.Init(state, request, freshId, options, now);
        var next = state with { Phase = TransactionPhase.Empty, Epoch = (short)(state.Epoch + 1), UpdatedAt = now };
        return new(next, new InitTransactionsResult(ErrorCode.None, next.Producer));
    }
}

internal sealed class NextProducerIsNotStored : TransactionRules
{
    public override TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now)
    {
        var outcome = base.End(state, request, freshId, now);
        return outcome.Next is { IsEnding: true, NextProducerId: >= 0 } next && !ReferenceEquals(next, state)
            ? outcome with { Next = next with { NextProducerId = -1 } } : outcome;
    }
}

internal sealed class OldProducerStays : TransactionRules
{
    public override TransactionState Complete(TransactionState state, DateTimeOffset now) =>
        base.Complete(state with { NextProducerId = -1 }, now);
}

internal sealed class PreviousProducerIsForgotten : TransactionRules
{
    public override TransactionState Complete(TransactionState state, DateTimeOffset now) =>
        base.Complete(state, now) with { PreviousProducerId = -1 };
}

internal sealed class RepeatedEndIsFenced : TransactionRules
{
    public override TransactionState Complete(TransactionState state, DateTimeOffset now) =>
        base.Complete(state, now) with { LastEpoch = -1 };
}

internal sealed class RepeatedInitIsFenced : TransactionRules
{
    public override TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now) => state is { Phase: TransactionPhase.Empty, LastEpoch: >= 0 } && request.Current is { } current
            && current.ProducerEpoch == state.LastEpoch && current.ProducerId == state.ProducerId
            ? new(state, new InitTransactionsResult(ErrorCode.ProducerFenced, new(-1, -1)))
            : base.Init(state, request, freshId, options, now);
}

internal sealed class RepeatedInitIsNew : TransactionRules
{
    public override TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now) => base.Init(state, request with { RequestId = Guid.Empty }, freshId, options, now);
}

internal sealed class EmptyAbortKeepsTheEpoch : TransactionRules
{
    public override TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now) =>
        state is { IsAtRest: true } && request is { RaisesEpoch: true, IsCommit: false } && state.Producer == request.Producer
            ? new(state, new EndTransactionResult(ErrorCode.None, state.Producer)) : base.End(state, request, freshId, now);
}

internal sealed class NextIdentityIsUnknown : TransactionRules
{
    // While a transaction is being ended, the identity that its end was answered with is not known.
    public override TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now) =>
        state is { IsEnding: true, NextProducerId: >= 0 } && request.Producer == state.NextProducer
            ? new(state, ((ICoordinatorRequest)request).Refuse(ErrorCode.InvalidProducerIdMapping, "not known"))
            : base.End(state, request, freshId, now);
}
