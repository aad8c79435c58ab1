using OrleansMq.Diagnostics;
using OrleansMq.Replication;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

/// <summary>The checkers are believed because they find each of these mistakes.</summary>
public sealed class MutantTests(ITestOutputHelper output)
{
    private const int MostSeeds = 3_000;

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
    public void Checkers_find(string mutant)
    {
        var type = typeof(MutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.{mutant}")!;
        for (var seed = 0; seed < MostSeeds; seed++)
        {
            try
            {
                new Cluster(seed, (ReplicationRules)Activator.CreateInstance(type)!).Run();
            }
            catch (Exception exception) when (exception is Verdict or InvariantViolationException)
            {
                output.WriteLine($"{mutant}: seed {seed}: {exception.Message}");
                return;
            }
        }
        Assert.Fail($"{MostSeeds} seeds ran with {mutant} and no checker found it.");
    }
}
