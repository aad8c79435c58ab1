using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

// Each mutant is the shipped service with one wrong decision. The number is the invariant that it breaks first.

// --- 1: delivered ---

internal sealed class UnknownIsPublished : ScheduleRules
{
    public override bool IsOver(PublishOutcome outcome) => true;
}

internal sealed class AnswersBeforeForce : ScheduleRules
{
    public override bool MayAnswer(bool isInForce) => true;
}

internal sealed class SweepsLiveTopics : ScheduleRules
{
    public override bool Sweeps(bool isGone) => true;
}

internal sealed class NewestIntentFirst : ScheduleRules
{
    public override ScheduleIntent? Next(IEnumerable<ScheduleIntent> intents) => intents.LastOrDefault();
}

internal sealed class GoesOnBehindRefused : ScheduleRules
{
    public override bool WaitsForRefused => false;
}

internal sealed class RepeatsInABatchOfItsOwn : ScheduleRules
{
    public override bool RepeatsAtOnce => false;
}

// --- 2: once ---

internal sealed class PublishesBeforeForce : ScheduleRules
{
    public override bool MayPublish(bool isInForce) => true;
}

internal sealed class ForgetsAppended : ScheduleRules
{
    public override bool RemembersAppended => false;
}

// --- 3: not early ---

internal sealed class DueASecondEarly : ScheduleRules
{
    public override long DueBy(long now, long latest) => now + 1_000;
}

internal sealed class RemembersLatestTime : ScheduleRules
{
    public override long DueBy(long now, long latest) => latest;
}

// --- 4: cancelled is final ---

internal sealed class CancelsIntended : ScheduleRules
{
    public override bool IsTooLate(bool isIntended) => false;
}

internal sealed class DeliversWhileCancelling : ScheduleRules
{
    public override bool Waits(bool isChanging) => false;
}

internal sealed class CancelsOneFiring : ScheduleRules
{
    public override ScheduleHandle Ended(ScheduleHandle firing, ScheduleHandle next) => firing;
}

internal sealed class DeliversSeveralFirings : ScheduleRules
{
    public override bool WaitsForEarlier(bool isDelivering) => false;
}

// --- 6: sequences ---

internal sealed class SequencesOfLogOnly : ScheduleRules
{
    public override long FirstSequence(long decided, long inForce) => inForce;
}

// --- 7: nothing waits for ever ---

internal sealed class ForgetsIntents : ScheduleRules
{
    public override bool ResumesIntents => false;
}

internal sealed class WaitsForEver : ScheduleRules
{
    public override bool WaitEnds => false;
}

internal sealed class SleepsOverDueTimes : ScheduleRules
{
    public override bool WakesWhenDue => false;
}
