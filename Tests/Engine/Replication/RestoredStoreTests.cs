using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

/// <summary>A claimant whose disk knows a later epoch than the state that it was given, or has read.</summary>
public sealed class RestoredStoreTests
{
    private readonly List<ReplicationEffect> _effects = [];
    private readonly MemoryReplicaLog _log = MemoryReplicaLog.Of((4, 10));

    /// <summary>The next leader stores its epoch and pushes while the answer with the previous state is still on its way.</summary>
    [Fact]
    public void Epoch_that_begins_during_the_read_is_no_sign_of_a_restored_store()
    {
        var claimant = Start();
        var read = TakeRead();
        _log.RaiseFence(5);
        claimant.OnStateRead(read, Stored([A, B, C]), "1", 1);
        Assert.Equal((LeaderStatus.Reading, ClaimOutcome.Unknown), (claimant.Status, claimant.Claim));
        claimant.OnStateRead(TakeRead(), Stored([A, B, C]) with { LeaderEpoch = 5, Leader = 1, LeaderToken = Guid.NewGuid() }, "2", 2);
        Assert.Equal((LeaderStatus.Stopped, ClaimOutcome.NotEligible), (claimant.Status, claimant.Claim));
        Assert.Empty(_effects.OfType<WriteState>());
    }

    [Fact]
    public void Restored_store_is_reported_after_a_read_that_began_with_the_fence()
    {
        var claimant = Start();
        var read = TakeRead();
        _log.RaiseFence(5);
        claimant.OnStateRead(read, Stored([A, B, C]), "1", 1);
        claimant.OnStateRead(TakeRead(), Stored([A, B, C]), "1", 2);
        Assert.Equal((LeaderStatus.Stopped, ClaimOutcome.StoreInThePast), (claimant.Status, claimant.Claim));
    }

    [Fact]
    public void Restored_store_is_reported_by_the_first_read_if_the_fence_is_older()
    {
        _log.RaiseFence(5);
        var claimant = Start();
        claimant.OnStateRead(TakeRead(), Stored([A, B, C]), "1", 1);
        Assert.Equal((LeaderStatus.Stopped, ClaimOutcome.StoreInThePast), (claimant.Status, claimant.Claim));
    }

    [Fact]
    public void Failed_second_read_is_repeated()
    {
        var claimant = Start();
        var read = TakeRead();
        _log.RaiseFence(5);
        claimant.OnStateRead(read, Stored([A, B, C]), "1", 1);
        claimant.OnStateFailed(TakeRead());
        claimant.Tick(2);
        claimant.OnStateRead(TakeRead(), Stored([A, B, C]), "1", 3);
        Assert.Equal((LeaderStatus.Stopped, ClaimOutcome.StoreInThePast), (claimant.Status, claimant.Claim));
    }

    private LeaderReplica Start()
    {
        var claimant = new LeaderReplica(ReplicationRules.Shipped, new LeaderOptions(), _log, A, TopicId, Token, new AllBut(), _effects);
        claimant.Start(known: null, 0);
        return claimant;
    }

    private long TakeRead()
    {
        var read = Assert.Single(_effects.OfType<ReadState>());
        _effects.Remove(read);
        return read.Operation;
    }
}
