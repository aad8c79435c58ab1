using OrleansMq.Groups.Coordination;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>The checkers are believed because they find each of these mistakes.</summary>
public sealed class GroupMutantTests(ITestOutputHelper output)
{
    private const int MostSeeds = 3_000;
    private const int SeedsAtOnce = 20;

    [Theory]
    [InlineData(nameof(AnswerBeforeStore))]
    [InlineData(nameof(CommitAnsweredBeforeStore))]
    [InlineData(nameof(OffsetsNotClaimed))]
    [InlineData(nameof(FailedIsNotWritten))]
    [InlineData(nameof(CoalescedIsWritten))]
    [InlineData(nameof(NeverDeposed))]
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
        var rules = (GroupRules)Activator.CreateInstance(typeof(GroupMutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.Groups.{mutant}")!)!;
        for (var first = 0; first < MostSeeds; first += SeedsAtOnce)
        {
            var found = new string?[SeedsAtOnce];
            Parallel.For(0, SeedsAtOnce, i => found[i] = Break(first + i, rules));
            var index = Array.FindIndex(found, f => f is not null);
            if (index < 0)
                continue;
            output.WriteLine($"{mutant}: seed {first + index}: {found[index]}");
            return;
        }
        Assert.Fail($"{MostSeeds} seeds ran with {mutant} and no checker found it.");
    }

    private static string? Break(int seed, GroupRules rules)
    {
        try
        {
            new GroupSimulation(seed, rules).Run();
            return null;
        }
        catch (Exception exception)
        {
            // Also what the core asserts, and what it runs into.
            return exception.Message;
        }
    }
}
