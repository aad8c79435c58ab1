using OrleansMq.Replication;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

/// <summary>The checkers are trusted because they detect each of these bugs.</summary>
public sealed class MutantTests(ITestOutputHelper output)
{
    private readonly MutantSearch _search = new(mostSeeds: 20_000, seedsAtOnce: 50, output);

    [Theory]
    [InlineData(nameof(LeaderIgnoresItsOwnReplica))]
    [InlineData(nameof(SkipCompareAndSwap))]
    [InlineData(nameof(AnyReadProvesRestore))]
    [InlineData(nameof(AnyReplicaMayClaim))]
    [InlineData(nameof(StoreIsAlwaysRight))]
    [InlineData(nameof(NoEpochCheck))]
    [InlineData(nameof(FenceNotDurable))]
    [InlineData(nameof(NoIncarnation))]
    [InlineData(nameof(KeepIncarnation))]
    [InlineData(nameof(LostMembersStayEligible))]
    [InlineData(nameof(SyncPromisesAtOnce))]
    [InlineData(nameof(UnflushedCounts))]
    [InlineData(nameof(TruncateToHighWatermark))]
    [InlineData(nameof(NeverTruncate))]
    [InlineData(nameof(AcceptGaps))]
    [InlineData(nameof(EpochBeginsWithItsFirstBatch))]
    [InlineData(nameof(NeverBeginAgain))]
    [InlineData(nameof(AckBeforeReplication))]
    [InlineData(nameof(AnsweredIsWritten))]
    [InlineData(nameof(CommittedIsrOnly))]
    [InlineData(nameof(ProposedIsrOnly))]
    [InlineData(nameof(ProposedIsrIsEnough))]
    [InlineData(nameof(UnknownConfigurationRequiresOne))]
    [InlineData(nameof(UnknownEndsIgnored))]
    [InlineData(nameof(ElrDoesNotHoldTheHighWatermark))]
    [InlineData(nameof(UnflushedAnsweredBeforeReplication))]
    [InlineData(nameof(UnflushedAnsweredBesideAnElr))]
    [InlineData(nameof(JoinWithoutUnflushedAnswers))]
    [InlineData(nameof(LowerMinimumEndsTheElrAtOnce))]
    [InlineData(nameof(JoinBeforeCaughtUp))]
    [InlineData(nameof(JoinAtHighWatermarkOnly))]
    [InlineData(nameof(LatestBeforeEpochStart))]
    [InlineData(nameof(DuplicateAcknowledgedEarly))]
    [InlineData(nameof(ReadsWithoutLease))]
    [InlineData(nameof(ResignUndrained))]
    [InlineData(nameof(LeaderResignsInSecret))]
    [InlineData(nameof(SameNameSameTopic))]
    [InlineData(nameof(UncleanUnreported))]
    [InlineData(nameof(BoundByLostHighWatermark))]
    [InlineData(nameof(KeepWhatCompactionLeft))]
    [InlineData(nameof(KeepWhatWasDeleted))]
    [InlineData(nameof(ReassignedBeforeCaughtUp))]
    [InlineData(nameof(NeverAligned))]
    [InlineData(nameof(NeverReassigned))]
    public void Checkers_find(string mutant) => Find(mutant, ReplicationFocus.None);

    [Theory]
    [InlineData(nameof(AlignToAnyAnswer), ReplicationFocus.LateMessages)]
    [InlineData(nameof(EraseUnderAnExchange), ReplicationFocus.AwayWhileErasing)]
    [InlineData(nameof(JoinWithDeletedRecords), ReplicationFocus.JoinWhileDeleting)]
    [InlineData(nameof(UnalignedLogStartCounts), ReplicationFocus.JoinWhileDeleting)]
    [InlineData(nameof(MessageIdsOfCutBatchesStay), ReplicationFocus.MessageIds)]
    [InlineData(nameof(FollowersNoteNoMessageIds), ReplicationFocus.MessageIds)]
    [InlineData(nameof(ClaimsCountWithoutTheirBatch), ReplicationFocus.MessageIds)]
    [InlineData(nameof(DuplicateMessageIdAcknowledgedEarly), ReplicationFocus.MessageIds)]
    [InlineData(nameof(LogStartPassesMessageIds), ReplicationFocus.MessageIds)]
    internal void Checkers_find_with_a_focus(string mutant, ReplicationFocus focus) => Find(mutant, focus);

    private void Find(string mutant, ReplicationFocus focus)
    {
        var rules =
            (ReplicationRules)Activator.CreateInstance(typeof(MutantTests).Assembly.GetType($"OrleansMq.Tests.Simulation.{mutant}")!)!;
        _search.Find(mutant, seed => new Cluster(seed, rules, random => Scenario.Of(focus, random)).Run());
    }
}
