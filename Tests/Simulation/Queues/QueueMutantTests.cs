using OrleansMq.Queues;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>The checkers are trusted because they detect each of these bugs.</summary>
public sealed class QueueMutantTests(ITestOutputHelper output)
{
    private readonly MutantSearch _search = new(mostSeeds: 3_000, seedsAtOnce: 20, output);

    [Theory]
    [InlineData(nameof(WrittenIsInForce))]
    [InlineData(nameof(ServesBeforeEpochStart))]
    [InlineData(nameof(ServesDuringPredecessorsLease))]
    [InlineData(nameof(HandsOutWithoutLease))]
    [InlineData(nameof(UnconfirmedIsPublished))]
    [InlineData(nameof(AnyLockHolds))]
    [InlineData(nameof(SettledTwice))]
    [InlineData(nameof(LocksOfEveryEpoch))]
    [InlineData(nameof(JoinedUnderFirstLock))]
    [InlineData(nameof(FailuresDoNotCount))]
    [InlineData(nameof(ReturnsForgetDeliveries))]
    [InlineData(nameof(WaitingRecordsFail))]
    [InlineData(nameof(WaitingIsDelivery))]
    [InlineData(nameof(UncountedIsDelivery))]
    [InlineData(nameof(UncountedForgetsFirstDelivery))]
    [InlineData(nameof(LastDeliveryIsShared))]
    [InlineData(nameof(NoLimit))]
    [InlineData(nameof(HandsOutUnreserved))]
    [InlineData(nameof(ReturnedLast))]
    [InlineData(nameof(KeyFreeBeforeForce))]
    [InlineData(nameof(SequenceUsedTwice))]
    [InlineData(nameof(PublishedInAnyOrder))]
    [InlineData(nameof(StartPassesStatement))]
    [InlineData(nameof(StartFollowsDelivery))]
    [InlineData(nameof(LocksDoNotWake))]
    [InlineData(nameof(DeferredDoNotWake))]
    [InlineData(nameof(DeadLettersForgotten))]
    [InlineData(nameof(StartPassesResets))]
    [InlineData(nameof(NothingIsDeferred))]
    [InlineData(nameof(FiltersNothing))]
    [InlineData(nameof(FiltersAll))]
    [InlineData(nameof(NeverExpires))]
    [InlineData(nameof(ExpiresEarly))]
    [InlineData(nameof(DropsOneTooMany))]
    [InlineData(nameof(NeverTooLong))]
    [InlineData(nameof(DropsTooManyBytes))]
    [InlineData(nameof(NeverTooLarge))]
    [InlineData(nameof(ReturnedTakeNoBytes))]
    [InlineData(nameof(StaysForAnyConsumer))]
    [InlineData(nameof(AlwaysFull))]
    [InlineData(nameof(AlwaysFullOfBytes))]
    [InlineData(nameof(BoundIsNeverLifted))]
    [InlineData(nameof(NoBound))]
    [InlineData(nameof(PurgesOneMore))]
    [InlineData(nameof(LocksNeverStand))]
    [InlineData(nameof(CreditReturnsTwice))]
    [InlineData(nameof(EveryCreditIsAWindow))]
    [InlineData(nameof(CreditNeverReturns))]
    [InlineData(nameof(SchedulesIgnored))]
    [InlineData(nameof(PrioritiesIgnored))]
    [InlineData(nameof(ConsumerPrioritiesIgnored))]
    [InlineData(nameof(EveryConsumerIsActive))]
    [InlineData(nameof(ConsumerKeepsItsTurn))]
    [InlineData(nameof(FailedIsDropped))]
    [InlineData(nameof(ReadsUncommitted))]
    [InlineData(nameof(AnyBeginReplaces))]
    [InlineData(nameof(StatementForgetsReturns))]
    [InlineData(nameof(StatementForgetsSettled))]
    public void Checkers_find(string mutant)
    {
        var rules = (CursorRules)Activator.CreateInstance(
            typeof(QueueMutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.Queues.{mutant}")!)!;
        _search.Find(mutant, seed => new QueueSimulation(seed, rules).Run());
    }
}
