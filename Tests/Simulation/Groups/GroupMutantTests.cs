using OrleansMq.Groups.Coordination;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>The checkers are trusted because they detect each of these bugs.</summary>
public sealed class GroupMutantTests(ITestOutputHelper output)
{
    private readonly MutantSearch _search = new(mostSeeds: 20_000, seedsAtOnce: 20, output);

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
    [InlineData(nameof(TheTakenOverStays))]
    [InlineData(nameof(TheReplacedTakeOverAgain))]
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
    public void Checkers_find(string mutant)
    {
        var rules = Create(mutant);
        _search.Find(mutant, seed => new GroupSimulation(seed, rules).Run());
    }

    // Rare without the focus that leads to them. A seed that fails with the shipped rules, too, detects nothing.
    [Theory]
    [InlineData(nameof(RestartOwesNothing), nameof(GroupFocus.StaticHandover))]
    [InlineData(nameof(AbsentOwnsNothing), nameof(GroupFocus.StaticHandover))]
    [InlineData(nameof(ResumedLeaderIsTrusted), nameof(GroupFocus.RestartedLeader))]
    [InlineData(nameof(HolderOfTheDeletedTopicCommits), nameof(GroupFocus.RecreatedTopics))]
    public void Checkers_find_in_focused_runs(string mutant, string focus)
    {
        var rules = Create(mutant);
        _search.Find(mutant, seed =>
        {
            if (!Passes(seed, rules, Enum.Parse<GroupFocus>(focus)) && Passes(seed, GroupRules.Shipped, Enum.Parse<GroupFocus>(focus)))
                new GroupSimulation(seed, rules, Enum.Parse<GroupFocus>(focus)).Run();
        });
    }

    [Theory]
    [InlineData(nameof(LateOffsetsOpen))]
    [InlineData(nameof(EndOfNothingIsForgotten))]
    [InlineData(nameof(TransactionEndsInPart))]
    [InlineData(nameof(WhatEndsLastPrevails))]
    [InlineData(nameof(AbortedTakesEffect))]
    [InlineData(nameof(PendingCountsAsStable))]
    public void Checkers_find_in_runs_with_transactions(string mutant)
    {
        var rules = Create(mutant);
        _search.Find(mutant, seed => new GroupSimulation(seed, rules, GroupFocus.Transactions).Run());
    }

    private static bool Passes(int seed, GroupRules rules, GroupFocus focus)
    {
        try
        {
            new GroupSimulation(seed, rules, focus).Run();
            return true;
        }
        catch (Exception)
        {
            // Assertions, and exceptions of the code under test.
            return false;
        }
    }

    private static GroupRules Create(string mutant) => (GroupRules)Activator.CreateInstance(
        typeof(GroupMutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.Groups.{mutant}")!)!;
}
