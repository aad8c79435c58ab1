using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

// Each mutant is the shipped cursor with one wrong decision. The number is the invariant that it breaks first.

// --- 1: settled and answered, never again ---

internal sealed class WrittenIsInForce : CursorRules
{
    public override bool IsInForce(long offset, long highWatermark) => true;
}

internal sealed class ReadsUncommitted : CursorRules
{
    public override long ReadableEnd(long highWatermark, long readableEnd) => highWatermark;
}

internal sealed class ServesBeforeEpochStart : CursorRules
{
    public override bool MayServe(LeaderTerm term, long highWatermark, long now) => now >= term.HandOutFrom;
}

internal sealed class ServesDuringPredecessorsLease : CursorRules
{
    public override bool MayServe(LeaderTerm term, long highWatermark, long now) => highWatermark >= term.EpochStart;
}

internal sealed class HandsOutWithoutLease : CursorRules
{
    public override bool HasLease(long leaseUntil, long now) => true;
}

// --- 2: handed out, in the target, or counted ---

internal sealed class UnconfirmedIsPublished : CursorRules
{
    public override bool IsDeadLetterDone(bool isConfirmed) => true;
}

internal sealed class FiltersNothing : CursorRules
{
    public override bool IsFiltered(in RecordHead head) => false;
}

internal sealed class FiltersAll : CursorRules
{
    public override bool IsFiltered(in RecordHead head) => true;
}

internal sealed class NeverExpires : CursorRules
{
    public override bool IsExpired(long expiresAt, long now) => false;
}

internal sealed class ExpiresEarly : CursorRules
{
    public override bool IsExpired(long expiresAt, long now) => expiresAt <= now + 100;
}

internal sealed class DropsOneTooMany : CursorRules
{
    public override long Excess(long length, CursorConfiguration configuration) => base.Excess(length, configuration) + 1;
}

internal sealed class NeverTooLong : CursorRules
{
    public override long Excess(long length, CursorConfiguration configuration) => 0;
}

internal sealed class DropsTooManyBytes : CursorRules
{
    public override long ExcessBytes(long bytes, CursorConfiguration configuration) =>
        configuration.MaxBytes is null ? 0 : base.ExcessBytes(bytes, configuration) + 200;
}

internal sealed class NeverTooLarge : CursorRules
{
    public override long ExcessBytes(long bytes, CursorConfiguration configuration) => 0;
}

internal sealed class ReturnedTakeNoBytes : CursorRules
{
    public override long BytesReturned(in HeldRecord held) => 0;
}

internal sealed class StaysForAnyConsumer : CursorRules
{
    public override bool StaysForConsumer(bool isAwaited) => true;
}

internal sealed class PurgesOneMore : CursorRules
{
    public override long PurgedBelow(long below, long readableEnd) => Math.Min(below + 1, readableEnd);
}

// --- 3: one holder ---

internal sealed class LocksNeverStand : CursorRules
{
    public override bool LocksStand(bool isActive) => false;
}

internal sealed class CreditReturnsTwice : CursorRules
{
    public override int CreditReturned(bool isWindow) => isWindow ? 2 : 0;
}

internal sealed class EveryCreditIsAWindow : CursorRules
{
    public override int CreditReturned(bool isWindow) => 1;
}

internal sealed class AnyLockHolds : CursorRules
{
    public override bool Holds(in HeldRecord held, long number) => held.State == HeldState.Acquired;
}

internal sealed class SettledTwice : CursorRules
{
    public override bool Holds(in HeldRecord held, long number) => held.LockNumber == number;
}

internal sealed class LocksOfEveryEpoch : CursorRules
{
    public override bool IsCurrent(LockToken token, Guid incarnation, int leaderEpoch) => token.Incarnation == incarnation;
}

internal sealed class JoinedUnderFirstLock : CursorRules
{
    public override long JoinedLock(long first, long next) => first;
}

// --- 4: counts ---

internal sealed class FailuresDoNotCount : CursorRules
{
    public override DeliveryCounts Returned(in HeldRecord held, bool isFailure, bool isUncounted) => held.Counts;
}

internal sealed class ReturnsForgetDeliveries : CursorRules
{
    public override DeliveryCounts Returned(in HeldRecord held, bool isFailure, bool isUncounted) =>
        base.Returned(held, isFailure, isUncounted) with { Deliveries = 0 };
}

internal sealed class WaitingRecordsFail : CursorRules
{
    public override bool IsFailed(in HeldRecord held, bool isFailure) => isFailure;
}

internal sealed class LastDeliveryIsShared : CursorRules
{
    public override int MostTogether(DeliveryCounts before, CursorConfiguration configuration) => int.MaxValue;
}

internal sealed class WaitingIsDelivery : CursorRules
{
    public override DeliveryCounts Returned(in HeldRecord held, bool isFailure, bool isUncounted) =>
        base.Returned(held with { IsWaiting = false }, isFailure, isUncounted);
}

internal sealed class UncountedIsDelivery : CursorRules
{
    public override DeliveryCounts Returned(in HeldRecord held, bool isFailure, bool isUncounted) =>
        base.Returned(held, isFailure, isUncounted: false);
}

internal sealed class UncountedForgetsFirstDelivery : CursorRules
{
    public override DeliveryCounts Returned(in HeldRecord held, bool isFailure, bool isUncounted) =>
        base.Returned(held with { IsWaiting = held.IsWaiting || isUncounted }, isFailure, isUncounted);
}

internal sealed class NoLimit : CursorRules
{
    public override bool IsAtLimit(DeliveryCounts counts, CursorConfiguration configuration) => false;
}

internal sealed class HandsOutUnreserved : CursorRules
{
    public override bool IsReserved(long offset, long deliveredUpTo) => true;
}

// --- 5: order ---

internal sealed class ReturnedLast : CursorRules
{
    public override bool ReturnedFirst => false;
}

internal sealed class KeyFreeBeforeForce : CursorRules
{
    public override bool IsKeyFreeBeforeForce => true;
}

internal sealed class NothingIsDeferred : CursorRules
{
    public override bool IsDeferred(long availableAt, long now) => false;
}

internal sealed class SchedulesIgnored : CursorRules
{
    public override bool IsScheduled(long deliverAt, long now) => false;
}

internal sealed class PrioritiesIgnored : CursorRules
{
    public override int LevelOf(in RecordHead head) => 0;
}

internal sealed class ConsumerPrioritiesIgnored : CursorRules
{
    public override int PriorityOf(Attach attach) => 0;
}

internal sealed class ConsumerKeepsItsTurn : CursorRules
{
    public override bool EndsTurn => false;
}

internal sealed class EveryConsumerIsActive : CursorRules
{
    public override bool IsSingleActive(CursorConfiguration configuration) => false;
}

// --- 6: dead letters ---

internal sealed class FailedIsDropped : CursorRules
{
    public override bool IsDropped(bool isTargetGone) => true;
}

internal sealed class SequenceUsedTwice : CursorRules
{
    public override long NextSequence(long next, int pending) => next;
}

internal sealed class PublishedInAnyOrder : CursorRules
{
    public override IEnumerable<DeadLetterIntent> ToPublish(CursorState state, long finishedBelow) =>
        base.ToPublish(state, finishedBelow).Reverse();
}

// --- 7: the log's start ---

internal sealed class StartPassesStatement : CursorRules
{
    public override long StartMayMoveTo(long needed, long statementOffset, long next) => needed;
}

internal sealed class StartFollowsDelivery : CursorRules
{
    public override long StartMayMoveTo(long needed, long statementOffset, long next) => Math.Min(next, statementOffset);
}

internal sealed class StartPassesResets : CursorRules
{
    public override long NeededByReset(long needed, long floor) => needed;
}

// --- 8: nothing waits for ever ---

internal sealed class LocksDoNotWake : CursorRules
{
    public override long WakeAt(long lockEnds, long deferredUntil, long other) => Math.Min(deferredUntil, other);
}

internal sealed class DeferredDoNotWake : CursorRules
{
    public override long WakeAt(long lockEnds, long deferredUntil, long other) => Math.Min(lockEnds, other);
}

internal sealed class DeadLettersForgotten : CursorRules
{
    public override IEnumerable<DeadLetterIntent> ToPublish(CursorState state, long finishedBelow) =>
        base.ToPublish(state, finishedBelow).Where(intent => intent.Offset % 2 != 0);
}

internal sealed class AlwaysFull : CursorRules
{
    public override bool IsFull(long length, CursorConfiguration configuration) => true;
}

internal sealed class AlwaysFullOfBytes : CursorRules
{
    public override bool IsFullOfBytes(long bytes, bool isCounted, bool wasFull, CursorConfiguration configuration) => true;
}

internal sealed class NoBound : CursorRules
{
    public override bool HasRoom(long exceptions, bool areOver, CursorConfiguration configuration) => true;
}

internal sealed class CreditNeverReturns : CursorRules
{
    public override int CreditReturned(bool isWindow) => 0;
}

internal sealed class BoundIsNeverLifted : CursorRules
{
    public override bool HasRoom(long exceptions, bool areOver, CursorConfiguration configuration) =>
        exceptions < configuration.MaxExceptions;
}

// --- 9: the log alone ---

internal sealed class AnyBeginReplaces : CursorRules
{
    public override bool MayBegin(Guid current, Guid replaces) => true;
}

internal sealed class StatementForgetsReturns : CursorRules
{
    public override CursorState Stated(CursorState state)
    {
        var stated = new CursorState(state.Id, state.Incarnation, state.Configuration, state.Floor);
        stated.Apply(new CursorDelta(state.Id, state.Incarnation)
        {
            Settlements = [new Settlement(SettlementCause.Purged, 0, [.. state.Settled])],
            Intents = [.. state.Intents.Values],
            DeliveredUpTo = state.DeliveredUpTo,
        });
        return stated;
    }
}

internal sealed class StatementForgetsSettled : CursorRules
{
    public override CursorState Stated(CursorState state) => state.Renew(state.Incarnation, state.Configuration, state.Floor);
}
