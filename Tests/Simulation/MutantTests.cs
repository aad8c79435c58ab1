using OrleansMq.Replication;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

/// <summary>The checkers are believed because they find each of these mistakes.</summary>
public sealed class MutantTests(ITestOutputHelper output)
{
    private const int MostSeeds = 10_000;
    private const int SeedsAtOnce = 50;

    [Theory]
    [InlineData(nameof(AckBeforeReplication))]
    [InlineData(nameof(NoEpochCheck))]
    [InlineData(nameof(FenceNotDurable))]
    [InlineData(nameof(TruncateToHighWatermark))]
    [InlineData(nameof(NeverTruncate))]
    [InlineData(nameof(CommittedIsrOnly))]
    [InlineData(nameof(ProposedIsrOnly))]
    [InlineData(nameof(NoIncarnation))]
    [InlineData(nameof(DuplicateAcknowledgedEarly))]
    [InlineData(nameof(SkipCompareAndSwap))]
    [InlineData(nameof(LatestBeforeEpochStart))]
    [InlineData(nameof(JoinBeforeCaughtUp))]
    [InlineData(nameof(AnyReplicaMayClaim))]
    [InlineData(nameof(ElrDoesNotHoldTheHighWatermark))]
    [InlineData(nameof(UnknownEndsIgnored))]
    [InlineData(nameof(ReadsWithoutLease))]
    [InlineData(nameof(JoinAtHighWatermarkOnly))]
    [InlineData(nameof(AcceptGaps))]
    [InlineData(nameof(EpochBeginsWithItsFirstBatch))]
    [InlineData(nameof(NeverBeginAgain))]
    [InlineData(nameof(KeepWhatCompactionLeft))]
    [InlineData(nameof(AlignToAnyAnswer))]
    [InlineData(nameof(BoundByLostHighWatermark))]
    [InlineData(nameof(LeaderIgnoresItsOwnReplica))]
    [InlineData(nameof(KeepIncarnation))]
    [InlineData(nameof(StoreIsAlwaysRight))]
    [InlineData(nameof(UncleanUnreported))]
    [InlineData(nameof(SameNameSameTopic))]
    [InlineData(nameof(ProposedIsrIsEnough))]
    [InlineData(nameof(ResignUndrained))]
    [InlineData(nameof(LeaderResignsInSecret))]
    [InlineData(nameof(ReassignedBeforeCaughtUp))]
    [InlineData(nameof(LostMembersStayEligible))]
    [InlineData(nameof(AnsweredIsWritten))]
    public void Checkers_find(string mutant)
    {
        var rules = (ReplicationRules)Activator.CreateInstance(typeof(MutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.{mutant}")!)!;
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

    private static string? Break(int seed, ReplicationRules rules)
    {
        try
        {
            new Cluster(seed, rules).Run();
            return null;
        }
        catch (Exception exception)
        {
            // Also what a role asserts, and what it runs into.
            return exception.Message;
        }
    }
}
