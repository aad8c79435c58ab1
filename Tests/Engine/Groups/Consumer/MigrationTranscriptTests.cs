namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>Groups that migrate from the classic protocol to the consumer protocol and back, as transcripts.</summary>
public class MigrationTranscriptTests
{
    [Fact]
    public void Cooperative_member_keeps_reading_while_the_group_is_upgraded_and_downgraded() => Transcript.Check("""
        > topic t 4
        > classic-join a topics=t assignor=cooperative-sticky
          a: generation 1 cooperative-sticky leads
        > classic-sync a assigns=t-0,t-1,t-2,t-3
          a: hold [t-0 t-1 t-2 t-3]
        > join b topics=t
          b: epoch 2 hold []
        > show
          -- Reconciling, epoch 2, uniform
          --   a Stable 1 [t-0 t-1 t-2 t-3] of [t-0 t-1]
          --   b UnreleasedPartitions 2 [] of [t-2 t-3]
        > commit a
          a: None
        > classic-beat a
          a: RebalanceInProgress
        > classic-join a topics=t assignor=cooperative-sticky
          a: generation 1 cooperative-sticky
        > classic-sync a
          a: hold [t-0 t-1]
        > poll b
          b: waits
        > classic-join a topics=t assignor=cooperative-sticky
          a: generation 2 cooperative-sticky
        > classic-sync a
          a: hold [t-0 t-1]
        > poll b
          b: epoch 2 hold [t-2 t-3]
        > classic-beat a
          a: None
        > commit a epoch=1
          a: IllegalGeneration
        > leave b
          b: epoch -1
          -- classic again: PreparingRebalance, generation 2
        > classic-beat a
          a: RebalanceInProgress
        > classic-join a topics=t assignor=cooperative-sticky
          a: generation 4 cooperative-sticky leads
        > classic-sync a assigns=t-0,t-1,t-2,t-3
          a: hold [t-0 t-1 t-2 t-3]
        """);

    [Fact]
    public void Eager_member_revokes_everything_on_join_and_gets_its_share_at_once() => Transcript.Check("""
        > topic t 4
        > classic-join a topics=t assignor=range
          a: generation 1 range leads
        > classic-sync a assigns=t-0,t-1,t-2,t-3
          a: hold [t-0 t-1 t-2 t-3]
        > join b topics=t
          b: epoch 2 hold []
        > classic-beat a
          a: RebalanceInProgress
        > poll b
          b: waits
        > classic-join a topics=t assignor=range
          a: generation 2 range
        > poll b
          b: epoch 2 hold [t-2 t-3]
        > classic-sync a
          a: hold [t-0 t-1]
        > classic-leave a
          a: None
        > poll b
          b: epoch 3 hold [t-0 t-1 t-2 t-3]
        """);

    [Fact]
    public void Classic_member_joining_a_consumer_group_waits_for_owned_partitions() => Transcript.Check("""
        > topic t 2
        > join a topics=t
          a: epoch 1 hold [t-0 t-1]
        > classic-join b topics=t assignor=cooperative-sticky
          b: generation 2 cooperative-sticky
        > classic-sync b
          b: hold []
        > classic-beat b
          b: None
        > poll a
          a: epoch 1 hold [t-0]
        > classic-beat b
          b: None
        > ack a
          a: epoch 2
        > classic-beat b
          b: RebalanceInProgress
        > classic-join b topics=t assignor=cooperative-sticky
          b: generation 2 cooperative-sticky
        > classic-sync b
          b: hold [t-1]
        > classic-join c topics=t assignor=range
          c: InconsistentGroupProtocol
        """);

    [Fact]
    public void Classic_member_that_does_not_rejoin_is_removed() => Transcript.Check("""
        > topic t 2
        > classic-join a topics=t assignor=range
          a: generation 1 range leads
        > classic-sync a assigns=t-0,t-1
          a: hold [t-0 t-1]
        > join b topics=t
          b: epoch 2 hold []
        > classic-beat a
          a: RebalanceInProgress
        > time 29
        > classic-beat a
          a: RebalanceInProgress
        > time 1
        > poll b
          b: epoch 3 hold [t-0 t-1]
        > classic-beat a
          a: UnknownMemberId
        > classic-join a topics=t assignor=cooperative-sticky owns=t-0,t-1
          a: UnknownMemberId
        > classic-join a topics=t assignor=cooperative-sticky owns=nothing
          a: generation 4 cooperative-sticky
        """);

    [Fact]
    public void Group_in_migration_counts_partitions_that_its_members_may_be_reading() => Transcript.Check("""
        > topic t 2
        > classic-join a topics=t assignor=cooperative-sticky
          a: generation 1 cooperative-sticky leads
        > classic-sync a assigns=t-0,t-1
          a: hold [t-0 t-1]
        > classic-join c topics=t assignor=cooperative-sticky
          c: waits
        > classic-join a topics=t assignor=cooperative-sticky
          a: generation 2 cooperative-sticky leads
        > show
          -- classic CompletingRebalance, generation 2: a c
        > join b topics=t
          b: epoch 3 hold []
        > show
          -- Reconciling, epoch 3, uniform
          --   a Stable 2 [t-0 t-1] of [t-0]
          --   b UnreleasedPartitions 3 [] of [t-1]
          --   c Stable 2 []
        > classic-sync a assigns=t-0,t-1
          a: RebalanceInProgress
        """);

    [Fact]
    public void Static_member_changes_its_protocol_on_restart() => Transcript.Check("""
        > topic t 2
        > classic-join a topics=t assignor=range instance=one
          a: generation 1 range leads
        > classic-sync a assigns=t-0,t-1
          a: hold [t-0 t-1]
        > join b topics=t instance=one
          b: epoch 2 hold [t-0 t-1]
        > classic-beat a
          a: UnknownMemberId
        > show
          -- Stable, epoch 2, uniform
          --   b Stable 2 [t-0 t-1]
        """);

    /// <summary>A classic member that misses the answers to its first join gets a new id with each repetition.</summary>
    [Fact]
    public void First_join_that_comes_late_is_fenced_however_often_the_classic_member_after_it_has_joined() => Transcript.Check("""
        > topic t 2
        > join b topics=other
          b: epoch 1 hold []
        > join a topics=t instance=one takeover=yes answer=lost
          a: epoch 2 hold [t-0 t-1]
        > classic-join c1 topics=t assignor=range instance=one new=yes
          c1: generation 3 range
        > classic-join c2 topics=t assignor=range instance=one new=yes
          c2: generation 4 range
        > classic-join c3 topics=t assignor=range instance=one new=yes
          c3: generation 5 range
        > classic-join c4 topics=t assignor=range instance=one new=yes
          c4: generation 6 range
        > classic-join c5 topics=t assignor=range instance=one new=yes
          c5: generation 7 range
        > classic-join c6 topics=t assignor=range instance=one new=yes
          c6: generation 8 range
        > classic-join c7 topics=t assignor=range instance=one new=yes
          c7: generation 9 range
        > classic-join c8 topics=t assignor=range instance=one new=yes
          c8: generation 10 range
        > classic-join c9 topics=t assignor=range instance=one new=yes
          c9: generation 11 range
        > classic-join c10 topics=t assignor=range instance=one new=yes
          c10: generation 12 range
        > join a topics=t instance=one takeover=yes
          a: FencedInstanceId
        """);
}
