using OrleansMq.Clusters;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Clusters;

public class LeadershipLedgerTests
{
    private static readonly ImageTopic Topic = RandomImages.Topic("t", [1, 2, 3], [2, 3, 1]);
    private readonly LeadershipLedger _ledger = new();
    private ClusterImage _image = RandomImages.Brokers(3).WithTopic(Topic);

    [Fact]
    public void Later_epoch_wins_over_an_earlier_one()
    {
        Take(2, Leads(epoch: 3, counter: 1, isr: [2, 3]));
        Assert.Equal((2, 3), (Now.Leader, Now.LeaderEpoch));
        Take(1, Leads(epoch: 2, counter: 9, isr: [1]));
        Assert.Equal((2, 3), (Now.Leader, Now.LeaderEpoch));
    }

    [Fact]
    public void Later_counter_of_one_epoch_wins_in_any_arrival_order()
    {
        Take(1, Leads(epoch: 2, counter: 6, isr: [1, 3]));
        Take(1, Leads(epoch: 2, counter: 5, isr: [1]));
        Assert.Equal([1, 3], Now.Isr.AsEnumerable());
        Take(1, Leads(epoch: 2, counter: 7, isr: [1, 2, 3]));
        Assert.Equal([1, 2, 3], Now.Isr.AsEnumerable());
    }

    [Fact]
    public void Former_leader_is_not_reported_as_leader()
    {
        Take(1, Leads(epoch: 1, counter: 1, isr: [1]) with { Leads = false });
        Assert.Equal(-1, Now.Leader);
        Take(2, Leads(epoch: 2, counter: 1, isr: [2]));
        Take(1, Leads(epoch: 2, counter: 2, isr: []) with { Leads = false });
        Assert.Equal((2, 2), (Now.Leader, Now.LeaderEpoch));
    }

    [Fact]
    public void Complete_report_ends_leaderships_it_does_not_list()
    {
        _image = _ledger.Take(_image, 2, [], isComplete: true);
        Assert.Equal(-1, _image.FindServed("t")!.Partitions[1].Leader);
        Assert.Equal(1, Now.Leader);
    }

    [Fact]
    public void Known_leadership_changes_nothing()
    {
        Take(1, Leads(epoch: 1, counter: 4, isr: [1, 2, 3]));
        var before = _image;
        Take(1, Leads(epoch: 1, counter: 5, isr: [1, 2, 3]));
        Assert.Same(before, _image);
    }

    [Fact]
    public void Dead_broker_is_not_reported_as_leader()
    {
        _image = _image with { Brokers = _image.Brokers.SetItem(2, _image.Brokers[2] with { IsAlive = false }) };
        Take(2, Leads(epoch: 3, counter: 1, isr: [2]));
        Assert.Equal((-1, 3), (Now.Leader, Now.LeaderEpoch));
    }

    private ImagePartition Now => _image.FindServed("t")!.Partitions[0];

    private void Take(int broker, LeadershipReport report) => _image = _ledger.Take(_image, broker, [report], isComplete: false);

    private static LeadershipReport Leads(int epoch, long counter, int[] isr) =>
        new(new ReplicaKey(Topic.TopicId, 0), true, epoch, counter, [1, 2, 3], [.. isr], [], []);
}
