namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>Rebalances of the consumer protocol as transcripts.</summary>
public class ConsumerTranscriptTests
{
    [Fact]
    public void Second_member_gets_its_half_when_the_first_has_revoked() => Transcript.Check("""
        > topic t 4
        > join a topics=t
          a: epoch 1 hold [t-0 t-1 t-2 t-3]
        > join b topics=t
          b: epoch 2 hold []
        > show
          -- Reconciling, epoch 2, uniform
          --   a Stable 1 [t-0 t-1 t-2 t-3] of [t-0 t-1]
          --   b UnreleasedPartitions 2 [] of [t-2 t-3]
        > beat a
          a: epoch 1 hold [t-0 t-1]
        > commit a
          a: None
        > beat b
          b: epoch 2
        > show
          -- Reconciling, epoch 2, uniform
          --   a UnrevokedPartitions 1 [t-0 t-1] gives up [t-2 t-3]
          --   b UnreleasedPartitions 2 [] of [t-2 t-3]
        > ack a
          a: epoch 2
        > poll b
          b: epoch 2 hold [t-2 t-3]
        > commit a epoch=1
          a: StaleMemberEpoch
        > commit a
          a: None
        > show
          -- Stable, epoch 2, uniform
          --   a Stable 2 [t-0 t-1]
          --   b Stable 2 [t-2 t-3]
        """);

    [Fact]
    public void Partitions_of_a_leaving_member_go_to_the_others_and_no_others_move() => Transcript.Check("""
        > topic t 3
        > join a topics=t
          a: epoch 1 hold [t-0 t-1 t-2]
        > leave a
          a: epoch -1
        > show
          -- Empty, epoch 2, no assignor
        > commit a epoch=1
          a: UnknownMemberId
        > commit a epoch=-1
          a: None
        > join a topics=t
          a: epoch 3 hold [t-0 t-1 t-2]
        > join b topics=t
          b: epoch 4 hold []
        > beat a
          a: epoch 3 hold [t-0 t-1]
        > ack a
          a: epoch 4
        > beat b
          b: epoch 4 hold [t-2]
        > leave a
          a: epoch -1
        > poll b
          b: epoch 5 hold [t-0 t-1 t-2]
        > beat a
          a: UnknownMemberId
        """);

    [Fact]
    public void Member_that_does_not_revoke_in_time_is_removed() => Transcript.Check("""
        > topic t 2
        > join a topics=t
          a: epoch 1 hold [t-0 t-1]
        > join b topics=t
          b: epoch 2 hold []
        > beat a
          a: epoch 1 hold [t-0]
        > time 20
        > beat a owns=t-0,t-1
          a: epoch 1 hold [t-0]
        > beat b
          b: epoch 2
        > time 10
        > poll b
          b: epoch 3 hold [t-0 t-1]
        > ack a
          a: UnknownMemberId
        > commit a
          a: UnknownMemberId
        """);

    [Fact]
    public void Member_that_missed_an_answer_is_not_fenced_and_a_stale_one_is() => Transcript.Check("""
        > topic t 2
        > join a topics=t answer=lost
          a: epoch 1 hold [t-0 t-1]
        > join a topics=t
          a: epoch 1 hold [t-0 t-1]
        > topic t 4
        > beat a owns=t-0,t-1 answer=lost
          a: epoch 2 hold [t-0 t-1 t-2 t-3]
        > topic t 5
        > beat a owns=t-0,t-1 answer=lost
          a: epoch 3 hold [t-0 t-1 t-2 t-3 t-4]
        > beat a owns=t-0,t-1
          a: epoch 3 hold [t-0 t-1 t-2 t-3 t-4]
        > beat a epoch=1 owns=t-0
          a: epoch 3 hold [t-0 t-1 t-2 t-3 t-4]
        > topic t 6
        > beat a
          a: epoch 4 hold [t-0 t-1 t-2 t-3 t-4 t-5]
        > beat a epoch=1 owns=t-0
          a: FencedMemberEpoch
        > beat a epoch=3
          a: FencedMemberEpoch
        > beat a epoch=5 owns=nothing
          a: FencedMemberEpoch
        > join a topics=t
          a: epoch 5 hold [t-0 t-1 t-2 t-3 t-4 t-5]
        > commit a epoch=4
          a: StaleMemberEpoch
        """);

    [Fact]
    public void Static_member_that_leaves_temporarily_keeps_its_partitions() => Transcript.Check("""
        > topic t 4
        > join a1 topics=t instance=one
          a1: epoch 1 hold [t-0 t-1 t-2 t-3]
        > join b topics=t
          b: epoch 2 hold []
        > beat a1
          a1: epoch 1 hold [t-0 t-1]
        > ack a1
          a1: epoch 2
        > poll b
          b: epoch 2 hold [t-2 t-3]
        > join a2 topics=t instance=one
          a2: UnreleasedInstanceId
        > away a1 instance=one
          a1: epoch -2
        > show
          -- Stable, epoch 2, uniform
          --   a1 Away -2 [t-0 t-1]
          --   b Stable 2 [t-2 t-3]
        > commit a1 epoch=2
          a1: StaleMemberEpoch
        > commit a1 epoch=-2
          a1: StaleMemberEpoch
        > join a2 topics=t instance=one
          a2: epoch 2 hold [t-0 t-1]
        > poll b
          b: waits
        > beat a1 instance=one epoch=2
          a1: FencedInstanceId
        > away a2 instance=one
          a2: epoch -2
        > expire a2
        > poll b
          b: epoch 3 hold [t-0 t-1 t-2 t-3]
        """);

    [Fact]
    public void Static_member_that_takes_over_fences_the_one_that_has_not_left() => Transcript.Check("""
        > topic t 4
        > join a1 topics=t instance=one
          a1: epoch 1 hold [t-0 t-1 t-2 t-3]
        > join b topics=t
          b: epoch 2 hold []
        > join a2 topics=t instance=one takeover=yes
          a2: epoch 3 hold [t-0 t-1]
        > poll b
          b: epoch 3 hold [t-2 t-3]
        > beat a1 instance=one
          a1: FencedInstanceId
        > commit a1 epoch=1
          a1: UnknownMemberId
        > join a1 topics=t instance=one
          a1: UnreleasedInstanceId
        > join a2 topics=t instance=one takeover=yes
          a2: epoch 3 hold [t-0 t-1]
        > show
          -- Stable, epoch 3, uniform
          --   a2 Stable 3 [t-0 t-1]
          --   b Stable 3 [t-2 t-3]
        """);

    /// <summary>Two processes run with one instance id, and neither heard the answer to its first join.</summary>
    [Fact]
    public void Static_member_that_repeats_its_first_join_takes_nothing_from_the_one_that_came_after() => Transcript.Check("""
        > topic t 2
        > join a1 topics=t instance=one takeover=yes answer=lost
          a1: epoch 1 hold [t-0 t-1]
        > join a2 topics=t instance=one takeover=yes answer=lost
          a2: epoch 2 hold [t-0 t-1]
        > join a1 topics=t instance=one takeover=yes
          a1: FencedInstanceId
        > join a2 topics=t instance=one takeover=yes
          a2: epoch 2 hold [t-0 t-1]
        > join a3 topics=t instance=one takeover=yes
          a3: epoch 3 hold [t-0 t-1]
        > join a1 topics=t instance=one takeover=yes
          a1: FencedInstanceId
        > away a3 instance=one
          a3: epoch -2
        > join a2 topics=t instance=one takeover=yes
          a2: epoch 3 hold [t-0 t-1]
        """);

    [Fact]
    public void New_matching_topics_more_partitions_and_deleted_topics_rebalance() => Transcript.Check("""
        > topic logs.a 1
        > join a regex=logs\..*
          a: epoch 1 hold [logs.a-0]
        > topic other 1
        > poll a
          a: waits
        > topic logs.b 2
        > poll a
          a: epoch 2 hold [logs.a-0 logs.b-0 logs.b-1]
        > topic logs.b 3
        > beat a
          a: epoch 3 hold [logs.a-0 logs.b-0 logs.b-1 logs.b-2]
        > delete logs.b
        > beat a
          a: epoch 3 hold [logs.a-0]
        > ack a
          a: epoch 4
        > beat a topics=other
          a: epoch 5 hold [logs.a-0 other-0]
        > beat a regex=(
          a: InvalidRegularExpression
        > beat a regex=(a)\1
          a: InvalidRegularExpression
        > beat a regex=a)(b
          a: InvalidRegularExpression
        > show
          -- Stable, epoch 5, uniform
          --   a Stable 5 [logs.a-0 other-0]
        """);

    [Fact]
    public void Target_that_changes_during_revocation_redirects_members() => Transcript.Check("""
        > topic t 6
        > join a topics=t
          a: epoch 1 hold [t-0 t-1 t-2 t-3 t-4 t-5]
        > join b topics=t
          b: epoch 2 hold []
        > beat a
          a: epoch 1 hold [t-0 t-1 t-2]
        > join c topics=t
          c: epoch 3 hold []
        > beat a
          a: epoch 1
        > ack a
          a: epoch 2 hold [t-0 t-1]
        > commit a epoch=1
          a: StaleMemberEpoch
        > show
          -- Reconciling, epoch 3, uniform
          --   a UnrevokedPartitions 2 [t-0 t-1] gives up [t-2]
          --   b UnreleasedPartitions 2 [] of [t-3 t-4]
          --   c UnreleasedPartitions 3 [] of [t-2 t-5]
        > poll b
          b: epoch 3 hold [t-3 t-4]
        > poll c
          c: epoch 3 hold [t-5]
        > ack a
          a: epoch 3
        > poll c
          c: epoch 3 hold [t-2 t-5]
        """);

    [Fact]
    public void Invalid_request_is_refused_and_changes_nothing() => Transcript.Check("""
        > topic t 1
        > join a
          a: InvalidRequest
        > beat a epoch=3
          a: UnknownMemberId
        > join a topics=t assignor=mine
          a: UnsupportedAssignor
        > beat a epoch=-3
          a: InvalidRequest
        > beat a epoch=-2
          a: InvalidRequest
        > beat a epoch=0 topics=t owns=t-0
          a: InvalidRequest
        > show
          -- Empty, epoch 0, no assignor
        """);

    [Fact]
    public void Assignor_requested_by_most_members_is_used() => Transcript.Check("""
        > topic t 3
        > topic u 3
        > join a topics=t,u assignor=range
          a: epoch 1 hold [t-0 t-1 t-2 u-0 u-1 u-2]
        > join b topics=t,u
          b: epoch 2 hold []
        > show
          -- Reconciling, epoch 2, range
          --   a Stable 1 [t-0 t-1 t-2 u-0 u-1 u-2] of [t-0 t-1 u-0 u-1]
          --   b UnreleasedPartitions 2 [] of [t-2 u-2]
        > beat b assignor=uniform
          b: epoch 3
        > beat a assignor=uniform
          a: epoch 1 hold [t-0 u-0 u-1]
        > show
          -- Reconciling, epoch 4, uniform
          --   a UnrevokedPartitions 1 [t-0 u-0 u-1] gives up [t-1 t-2 u-2]
          --   b UnreleasedPartitions 3 [] of [t-1 t-2 u-2]
        """);
}
