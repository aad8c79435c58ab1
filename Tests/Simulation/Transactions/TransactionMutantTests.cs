using OrleansMq.Transactions;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>The checkers are trusted because they detect each of these bugs.</summary>
public sealed class TransactionMutantTests(ITestOutputHelper output)
{
    private readonly MutantSearch _search = new(mostSeeds: 20_000, seedsAtOnce: 20, output);

    [Theory]
    [InlineData(nameof(AnsweredBeforeStored))]
    [InlineData(nameof(NeverDeposed))]
    [InlineData(nameof(FailedIsNotRead))]
    [InlineData(nameof(CoalescedIsWritten))]
    [InlineData(nameof(RefusedWithoutConfirmation))]
    [InlineData(nameof(AddedWithoutConfirmation))]
    [InlineData(nameof(ConnectionIsForgotten))]
    [InlineData(nameof(ConnectionEndsWithItsTransaction))]
    [InlineData(nameof(RepetitionOverTheSameConnectionCounts))]
    [InlineData(nameof(ConnectionOutlivesItsEpoch))]
    [InlineData(nameof(ToldBeforeStored))]
    [InlineData(nameof(LateCommitEndsTheNext))]
    [InlineData(nameof(OppositeIsRepeated))]
    [InlineData(nameof(NextBeginsBeforeCompletion))]
    [InlineData(nameof(SameNumberAgain))]
    [InlineData(nameof(NeverLate))]
    [InlineData(nameof(OpenIsForgotten))]
    [InlineData(nameof(PartitionIsNotListed))]
    [InlineData(nameof(GroupIsNotListed))]
    [InlineData(nameof(AllIsVerified))]
    [InlineData(nameof(TimeoutFencesNothing))]
    [InlineData(nameof(OperatorFencesNothing))]
    [InlineData(nameof(NewInstanceGetsTheSameEpoch))]
    [InlineData(nameof(NewInstanceLeavesTheOldOneOpen))]
    [InlineData(nameof(AnyEpochAdds))]
    [InlineData(nameof(AnyEpochEnds))]
    [InlineData(nameof(EpochsAreNeverUsedUp))]
    [InlineData(nameof(NextProducerIsNotStored))]
    [InlineData(nameof(OldProducerStays))]
    [InlineData(nameof(PreviousProducerIsForgotten))]
    [InlineData(nameof(RepeatedEndIsFenced))]
    [InlineData(nameof(RepeatedInitIsFenced))]
    [InlineData(nameof(RepeatedInitIsNew))]
    [InlineData(nameof(EmptyAbortKeepsTheEpoch))]
    [InlineData(nameof(NextIdentityIsUnknown))]
    public void Checkers_find_a_coordinator(string mutant)
    {
        var rules = Create<TransactionRules>(mutant);
        _search.Find(mutant, seed => new TransactionSimulation(seed, rules, ParticipantRules.Shipped).Run());
    }

    [Theory]
    [InlineData(nameof(AppendedWithoutAsking))]
    [InlineData(nameof(EndedNumberAppends))]
    [InlineData(nameof(OldEpochAppends))]
    [InlineData(nameof(MarkerOfAnyNumberEnds))]
    [InlineData(nameof(AcknowledgedAtOnce))]
    [InlineData(nameof(AllIsStable))]
    [InlineData(nameof(EndedIsStable))]
    [InlineData(nameof(LeaderThatIsAwayKnows))]
    [InlineData(nameof(GroupThatIsAwayKnows))]
    [InlineData(nameof(FencedCoordinatorTriesAgain))]
    [InlineData(nameof(EndedNumberCommits))]
    [InlineData(nameof(EndOfAnyNumberCounts))]
    [InlineData(nameof(OffsetOfTransactionWinsAlways))]
    public void Checkers_find_a_participant(string mutant)
    {
        var rules = Create<ParticipantRules>(mutant);
        _search.Find(mutant, seed => new TransactionSimulation(seed, TransactionRules.Shipped, rules).Run());
    }

    private static TRules Create<TRules>(string mutant) => (TRules)Activator.CreateInstance(
        typeof(TransactionMutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.Transactions.{mutant}")!)!;
}
