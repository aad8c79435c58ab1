using OrleansMq.Schedules;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>The checkers are trusted because they detect each of these bugs.</summary>
public sealed class ScheduleMutantTests(ITestOutputHelper output)
{
    private readonly MutantSearch _search = new(mostSeeds: 2_000, seedsAtOnce: 20, output);

    [Theory]
    [InlineData(nameof(UnknownIsPublished))]
    [InlineData(nameof(AnswersBeforeForce))]
    [InlineData(nameof(SweepsLiveTopics))]
    [InlineData(nameof(NewestIntentFirst))]
    [InlineData(nameof(PublishesBeforeForce))]
    [InlineData(nameof(ForgetsAppended))]
    [InlineData(nameof(DueASecondEarly))]
    [InlineData(nameof(RemembersLatestTime))]
    [InlineData(nameof(CancelsIntended))]
    [InlineData(nameof(DeliversWhileCancelling))]
    [InlineData(nameof(GoesOnBehindRefused))]
    [InlineData(nameof(RepeatsInABatchOfItsOwn))]
    [InlineData(nameof(CancelsOneFiring))]
    [InlineData(nameof(DeliversSeveralFirings))]
    [InlineData(nameof(SequencesOfLogOnly))]
    [InlineData(nameof(ForgetsIntents))]
    [InlineData(nameof(WaitsForEver))]
    [InlineData(nameof(SleepsOverDueTimes))]
    public void Checkers_find(string mutant)
    {
        var rules = (ScheduleRules)Activator.CreateInstance(
            typeof(ScheduleMutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.Schedules.{mutant}")!)!;
        _search.Find(mutant, seed => new ScheduleSimulation(seed, rules).Run());
    }
}
