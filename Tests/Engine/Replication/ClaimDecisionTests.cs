using System.Text.Json;
using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class ClaimDecisionTests
{
    [Fact]
    public void A_member_of_the_isr_claims_the_next_epoch_and_keeps_the_isr()
    {
        var claim = Claim(Stored([A, B]), B);
        Assert.Equal(ClaimOutcome.Claim, claim.Outcome);
        Assert.Equal((5, 1, Token), (claim.Next!.LeaderEpoch, claim.Next.Leader, claim.Next.LeaderToken));
        Assert.Equal([A, B], claim.Next.Isr.ToArray());
    }

    [Fact]
    public void A_renewed_incarnation_is_not_the_member_it_was() =>
        Assert.Equal(ClaimOutcome.NotEligible, Claim(Stored([A, B]), RenewedB).Outcome);

    [Fact]
    public void Who_is_in_neither_set_waits() => Assert.Equal(ClaimOutcome.NotEligible, Claim(Stored([A, B]), C, dead: [0, 1]).Outcome);

    [Fact]
    public void An_eligible_replica_leads_only_when_no_isr_member_lives()
    {
        Assert.Equal(ClaimOutcome.NotEligible, Claim(Stored([A], B, C), B).Outcome);
        var claim = Claim(Stored([A], B, C), B, dead: [0]);
        Assert.Equal(ClaimOutcome.Claim, claim.Outcome);
        Assert.Equal([B], claim.Next!.Isr.ToArray());
        Assert.Equal([A, C], claim.Next.Elr.ToArray());
    }

    [Fact]
    public void An_unclean_claim_is_any_replicas_and_says_so()
    {
        var claim = Claim(Stored([A], B), C, unclean: true);
        Assert.Equal(ClaimOutcome.Claim, claim.Outcome);
        Assert.Equal([C], claim.Next!.Isr.ToArray());
        Assert.Empty(claim.Next.Elr);
        Assert.Equal(5, claim.Next.UncleanEpoch);
        Assert.Equal(-1, Claim(Stored([A], B), A, unclean: true).Next!.UncleanEpoch);
        Assert.Equal(ClaimOutcome.NotEligible, Claim(Stored([A], B) with { Replicas = [0, 1] }, C, unclean: true).Outcome);
    }

    [Fact]
    public void The_first_claim_may_be_anyones_of_the_replicas()
    {
        var created = PartitionState.Create(TopicId, [0, 1, 2]);
        Assert.Equal([B], Claim(created, B, fence: 0).Next!.Isr.ToArray());
        Assert.Equal(ClaimOutcome.NotEligible, Claim(created with { Replicas = [0, 2] }, B, fence: 0).Outcome);
    }

    [Fact]
    public void A_store_from_the_past_and_another_topic_are_refused()
    {
        Assert.Equal(ClaimOutcome.StoreInThePast, Claim(Stored([A, B]), A, fence: 5).Outcome);
        Assert.Equal(ClaimOutcome.OtherTopic, Claim(Stored([A, B]) with { TopicId = Guid.Empty }, A).Outcome);
    }

    [Fact]
    public void After_an_unclear_write_only_the_own_token_is_adopted()
    {
        Assert.Equal(StoreOutcome.Adopt, StoreDecision.AfterFailedWrite(Stored([A]) with { LeaderToken = Token }, Token));
        Assert.Equal(StoreOutcome.StepDown, StoreDecision.AfterFailedWrite(Stored([A]), Token));
    }

    [Fact]
    public void The_document_reads_back_as_it_was_written()
    {
        var json = JsonSerializer.Serialize(Stored([A, B], C), ReplicationJson.Default.PartitionState);
        var read = JsonSerializer.Deserialize(json, ReplicationJson.Default.PartitionState)!;
        Assert.Equal(json, JsonSerializer.Serialize(read, ReplicationJson.Default.PartitionState));
        Assert.Equal([A, B], read.Isr.ToArray());
        Assert.Equal([C], read.Elr.ToArray());
        Assert.Equal([0, 1, 2], read.Replicas.ToArray());
    }

    private static ClaimDecision Claim(PartitionState state, ReplicaIdentity self, int fence = 4, int[]? dead = null,
        bool unclean = false) =>
        ReplicationRules.Shipped.Claim(state, self, TopicId, fence, Token, new AllBut(dead ?? []), unclean);
}
