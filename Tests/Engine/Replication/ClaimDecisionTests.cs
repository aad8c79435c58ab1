using System.Text.Json;
using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class ClaimDecisionTests
{
    [Fact]
    public void ISR_member_claims_the_next_epoch_and_keeps_the_ISR()
    {
        var claim = Claim(Stored([A, B]), B);
        Assert.Equal(ClaimOutcome.Claim, claim.Outcome);
        Assert.Equal((5, 1, Token), (claim.Next!.LeaderEpoch, claim.Next.Leader, claim.Next.LeaderToken));
        Assert.Equal([A, B], claim.Next.Isr.ToArray());
    }

    [Fact]
    public void Renewed_incarnation_is_a_different_member() =>
        Assert.Equal(ClaimOutcome.NotEligible, Claim(Stored([A, B]), RenewedB).Outcome);

    [Fact]
    public void Replica_in_neither_ISR_nor_ELR_waits() =>
        Assert.Equal(ClaimOutcome.NotEligible, Claim(Stored([A, B]), C, dead: [0, 1]).Outcome);

    [Fact]
    public void ELR_member_leads_only_when_no_ISR_member_is_alive()
    {
        Assert.Equal(ClaimOutcome.NotEligible, Claim(Stored([A], B, C), B).Outcome);
        var claim = Claim(Stored([A], B, C), B, dead: [0]);
        Assert.Equal(ClaimOutcome.Claim, claim.Outcome);
        Assert.Equal([B], claim.Next!.Isr.ToArray());
        Assert.Equal([A, C], claim.Next.Elr.ToArray());
    }

    [Fact]
    public void Unclean_claim_is_open_to_any_replica_and_is_reported()
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
    public void First_claim_is_open_to_any_replica()
    {
        var created = PartitionState.Create(TopicId, [0, 1, 2]);
        Assert.Equal([B], Claim(created, B, fence: 0).Next!.Isr.ToArray());
        Assert.Equal(ClaimOutcome.NotEligible, Claim(created with { Replicas = [0, 2] }, B, fence: 0).Outcome);
    }

    [Fact]
    public void Store_from_the_past_and_another_topic_are_refused()
    {
        Assert.Equal(ClaimOutcome.StoreInThePast, Claim(Stored([A, B]), A, fence: 5).Outcome);
        Assert.Equal(ClaimOutcome.OtherTopic, Claim(Stored([A, B]) with { TopicId = Guid.Empty }, A).Outcome);
    }

    [Fact]
    public void Write_with_unknown_outcome_adopts_only_its_own_token()
    {
        Assert.Equal(StoreOutcome.Adopt, StoreDecision.AfterFailedWrite(Stored([A]) with { LeaderToken = Token }, Token));
        Assert.Equal(StoreOutcome.StepDown, StoreDecision.AfterFailedWrite(Stored([A]), Token));
    }

    [Fact]
    public void Document_reads_back_as_written()
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
