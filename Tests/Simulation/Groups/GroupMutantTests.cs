using OrleansMq.Groups.Coordination;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>The checkers are trusted because they detect each of these bugs.</summary>
public sealed class GroupMutantTests(ITestOutputHelper output)
{
    private readonly MutantSearch _search = new(mostSeeds: 3_000, seedsAtOnce: 20, output);

    [Theory]
    [InlineData(nameof(AnswerBeforeStore))]
    [InlineData(nameof(CommitAnsweredBeforeStore))]
    [InlineData(nameof(OffsetsNotClaimed))]
    [InlineData(nameof(FailedIsNotWritten))]
    [InlineData(nameof(CoalescedIsWritten))]
    [InlineData(nameof(NeverDeposed))]
    [InlineData(nameof(FetchedWithoutConfirmation))]
    [InlineData(nameof(ConfirmedByWhatWasUnderWay))]
    [InlineData(nameof(SessionsGoOnOverFailover))]
    [InlineData(nameof(SessionsNeverEnd))]
    [InlineData(nameof(RoundsNeverEnd))]
    [InlineData(nameof(FailoverForgetsMembers))]
    [InlineData(nameof(FailoverRebalances))]
    [InlineData(nameof(SameGenerationAgain))]
    [InlineData(nameof(EverybodyLeads))]
    [InlineData(nameof(StaticMemberNotFenced))]
    [InlineData(nameof(SubscriptionNotUpdated))]
    [InlineData(nameof(OldGenerationLives))]
    [InlineData(nameof(TheLeftStay))]
    [InlineData(nameof(LeavingIsForgotten))]
    [InlineData(nameof(GivenBeforeReleased))]
    [InlineData(nameof(SilenceMeansReleased))]
    [InlineData(nameof(AnyMemberEpoch))]
    [InlineData(nameof(LostAnswersStayLost))]
    [InlineData(nameof(OldEpochCommits))]
    [InlineData(nameof(TheFencedCommit))]
    [InlineData(nameof(TopicsNotLookedAtAgain))]
    [InlineData(nameof(SubscriptionNotHeard))]
    [InlineData(nameof(TheDeadKeepTheirPartitions))]
    [InlineData(nameof(FailoverForgetsWhoIsToGiveUp))]
    [InlineData(nameof(NewsNotTold))]
    [InlineData(nameof(UpgradeForgetsWhoHoldsWhat))]
    [InlineData(nameof(DowngradeBeginsAnew))]
    [InlineData(nameof(OldGenerationCommits))]
    [InlineData(nameof(OutsidersCommit))]
    [InlineData(nameof(FencedInstanceCommits))]
    [InlineData(nameof(CommitsGoToTopicsOfThatName))]
    [InlineData(nameof(CommitForgetsOtherPartitions))]
    [InlineData(nameof(CommitOfManyIsDropped))]
    public void Checkers_find(string mutant) => Find(mutant, seed => seed);

    // Rare without the focus that leads to them: the search numbers the seeds that have it.
    [Theory]
    [InlineData(nameof(RestartOwesNothing), GroupFocus.StaticHandover)]
    [InlineData(nameof(HolderOfTheDeletedTopicCommits), GroupFocus.RecreatedTopics)]
    public void Checkers_find_in_focused_runs(string mutant, object focus) =>
        Find(mutant, number => GroupScenario.SeedWith((GroupFocus)focus, number));

    private void Find(string mutant, Func<int, int> seedOf)
    {
        var rules =
            (GroupRules)Activator.CreateInstance(
                typeof(GroupMutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.Groups.{mutant}")!)!;
        _search.Find(mutant, number => new GroupSimulation(seedOf(number), rules).Run());
    }
}
