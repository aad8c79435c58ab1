using OrleansMq.Grains.Partitions;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>The choice of a leader: by the stored state, by membership, and by the replicas' reports.</summary>
public sealed class LeaderChoiceTests
{
    private static readonly Guid Topic = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");
    private readonly Dictionary<int, ReplicaAnswer> _answers = [];
    private readonly HashSet<int> _live = [1, 2, 3];
    private readonly HashSet<int> _stopping = [];

    private PartitionState _state = PartitionState.Create(Topic, [2, 1, 3]) with { LeaderEpoch = 5, Leader = 2,
        Isr = [Member(1), Member(2), Member(3)] };

    public LeaderChoiceTests()
    {
        foreach (var broker in _live)
            Answer(broker);
    }

    [Fact]
    public void Preferred_replica_leads() => Assert.Equal((2, false), Chosen());

    [Fact]
    public void Current_leader_keeps_leading()
    {
        Answer(3, ReplicaRole.Leader);
        Assert.Equal((3, true), Chosen());
    }

    [Fact]
    public void Leader_of_an_older_epoch_is_ignored()
    {
        Answer(3, ReplicaRole.Leader, epoch: 4);
        Assert.Equal((2, false), Chosen());
    }

    [Fact]
    public void Later_epoch_of_two_claimed_leaders_wins()
    {
        Answer(3, ReplicaRole.Leader, epoch: 5);
        Answer(1, ReplicaRole.Leader, epoch: 6);
        Assert.Equal((1, true), Chosen());
    }

    [Fact]
    public void Next_replica_in_order_leads_when_the_preferred_one_is_down()
    {
        _live.Remove(2);
        Assert.Equal((1, false), Chosen());
    }

    [Fact]
    public void Successor_named_by_the_last_leader_comes_first_if_eligible()
    {
        _state = _state with { Successor = 3, Leader = PartitionState.NoLeader };
        Assert.Equal((3, false), Chosen());
        _live.Remove(3);
        Assert.Equal((2, false), Chosen());
    }

    [Fact]
    public void Silent_leader_keeps_leadership_until_membership_declares_it_dead()
    {
        _answers[2] = ReplicaAnswer.Silent;
        Assert.Equal((2, false), Chosen());
        _live.Remove(2);
        Assert.Equal((1, false), Chosen());
    }

    [Fact]
    public void Leader_unaware_of_its_stored_claim_keeps_it_if_eligible()
    {
        _state = _state with { Leader = 3 };
        Answer(3, ReplicaRole.Claiming, epoch: 4);
        Assert.Equal((3, false), Chosen());
        // It has resigned.
        Answer(3, epoch: 4);
        Assert.Equal((2, false), Chosen());
        Answer(3, ReplicaRole.Claiming, epoch: 4, incarnation: Guid.NewGuid());
        Assert.Equal((2, false), Chosen());
        Answer(3, ReplicaRole.Claiming, epoch: 4);
        _stopping.Add(3);
        Assert.Equal((2, false), Chosen());
    }

    [Fact]
    public void Silent_follower_is_skipped()
    {
        _state = _state with { Leader = PartitionState.NoLeader };
        _answers[2] = ReplicaAnswer.Silent;
        Assert.Equal((1, false), Chosen());
    }

    [Fact]
    public void Stopping_replica_is_not_chosen_and_the_ELR_keeps_waiting()
    {
        _stopping.Add(2);
        Assert.Equal((1, false), Chosen());
        Answer(2, ReplicaRole.Leader);
        Assert.Equal((2, true), Chosen());
        Answer(2);
        _state = _state with { Isr = [Member(2)], Elr = [Member(3)] };
        Assert.Contains("broker 2 is stopping; broker 3 waits", Nobody(), StringComparison.Ordinal);
    }

    [Fact]
    public void Replica_out_of_sync_does_not_lead()
    {
        _state = _state with { Isr = [Member(3)] };
        Assert.Equal((3, false), Chosen());
        _live.Remove(3);
        Assert.Contains("broker 3 is down", Nobody(), StringComparison.Ordinal);
    }

    [Fact]
    public void Member_that_lost_its_tail_does_not_lead_and_is_reported_lost()
    {
        _state = _state with { Isr = [Member(1), Member(2)] };
        Answer(2, incarnation: Guid.NewGuid());
        var choice = Decide();
        Assert.Equal(1, choice.Broker);
        Assert.Equal([Member(2)], choice.Lost);
        _answers[1] = ReplicaAnswer.None;
        Assert.Equal([Member(1), Member(2)], Decide().Lost);
        Assert.Contains("broker 1 lost its data directory; broker 2 lost the end of its log", Nobody(), StringComparison.Ordinal);
    }

    [Fact]
    public void Replica_with_failed_storage_does_not_lead()
    {
        _state = _state with { Isr = [Member(1)] };
        Answer(1, ReplicaRole.Offline, offline: "/data/orders-0: Input/output error");
        Assert.Contains("/data/orders-0: Input/output error", Nobody(), StringComparison.Ordinal);
        Assert.Equal([Member(1)], Decide().Lost);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ELR_member_leads_only_without_in_sync_replicas(bool lost)
    {
        _state = _state with { Isr = [Member(2)], Elr = [Member(3)], Leader = PartitionState.NoLeader };
        _answers[2] = ReplicaAnswer.Silent;
        Assert.Contains("broker 2 does not answer; broker 3 waits", Nobody(), StringComparison.Ordinal);
        if (lost)
            Answer(2, incarnation: Guid.NewGuid());
        else
            _live.Remove(2);
        Assert.Equal((3, false), Chosen());
    }

    [Fact]
    public void Any_replica_may_lead_a_new_partition()
    {
        _state = PartitionState.Create(Topic, [3, 1]);
        _answers[3] = ReplicaAnswer.None;
        Assert.Equal((3, false), Chosen());
        _answers[3] = ReplicaAnswer.Silent;
        Assert.Equal((1, false), Chosen());
        _live.Clear();
        Assert.Contains("broker 3 is down; broker 1 is down", Nobody(), StringComparison.Ordinal);
    }

    [Fact]
    public void Unclean_election_waits_for_all_in_sync_replicas_and_minimizes_loss()
    {
        _state = _state with { Isr = [Member(1), Member(2)] };
        Answer(1, incarnation: Guid.NewGuid(), logEnd: 10);
        Answer(3, logEnd: 20);
        _live.Remove(2);
        Assert.Equal(LeaderChoice.Nobody, Unclean().Broker);
        _live.Add(2);
        Answer(2, incarnation: Guid.NewGuid(), logEnd: 15);
        Assert.Equal((3, true), (Unclean().Broker, Unclean().Unclean));
        Answer(2);
        Assert.Equal((2, false), (Unclean().Broker, Unclean().Unclean));
    }

    [Fact]
    public void Latest_known_leader_is_believed_without_the_store()
    {
        Assert.Null(LeaderChoice.LedBy(_answers.Values.Select(answer => answer.Report!)));
        Answer(1, ReplicaRole.Leader, epoch: 4);
        Answer(3, ReplicaRole.Leader, epoch: 5);
        Assert.Equal(3, LeaderChoice.LedBy(_answers.Values.Select(answer => answer.Report!)));
    }

    private (int, bool) Chosen()
    {
        var choice = Decide();
        return (choice.Broker, choice.Leads);
    }

    private string Nobody()
    {
        var choice = Decide();
        Assert.Equal(LeaderChoice.Nobody, choice.Broker);
        return choice.Why!;
    }

    private LeaderChoice Decide() =>
        LeaderChoice.Decide(_state, _live.Contains, broker => _live.Contains(broker) && !_stopping.Contains(broker),
            broker => _answers[broker]);

    private LeaderChoice Unclean() => LeaderChoice.DecideUnclean(Decide(), _state, _live.Contains, broker => _answers[broker]);

    private void Answer(int broker, ReplicaRole role = ReplicaRole.Follower, int epoch = 5, Guid? incarnation = null, long logEnd = 0,
        string? offline = null) =>
        _answers[broker] = ReplicaAnswer.Of(new ReplicaReport(new ReplicaKey(Topic, 0),
            incarnation is { } other ? new ReplicaIdentity(broker, other) : Member(broker), role, 2, epoch, epoch, 0, logEnd, 0, offline));

    private static ReplicaIdentity Member(int broker) => new(broker, new Guid(broker, 0, 0, new byte[8]));
}
