using OrleansMq.Cli.Clusters;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Tests.Process.LocalClusters;

/// <summary>The members of a local cluster, and when an ended one is restarted.</summary>
public sealed class ClusterRosterTests
{
    private static readonly ClusterRoster Empty = new("local", []);

    [Fact]
    public void New_cluster_has_three_brokers_without_racks() =>
        Assert.Equal([new RosterEntry(1, null), new RosterEntry(2, null), new RosterEntry(3, null)], Empty.With(null, []).Brokers);

    [Fact]
    public void Racks_are_assigned_round_robin() =>
        Assert.Equal(["a", "b", "a", "b", "a"], Empty.With(5, ["a", "b"]).Brokers.Select(broker => broker.Rack));

    [Fact]
    public void Existing_brokers_stay_unchanged()
    {
        var two = Empty.With(2, ["a", "b"]);
        Assert.Equal(two.Brokers, two.With(null, ["c"]).Brokers);
        Assert.Equal([.. two.Brokers, new RosterEntry(3, "c")], two.With(3, ["c"]).Brokers);
    }

    [Fact]
    public void Fewer_brokers_than_exist_are_refused() =>
        Assert.Equal(ExitCode.WrongUsage, Assert.Throws<CommandFailedException>(() => Empty.With(3, []).With(2, [])).ExitCode);

    [Fact]
    public void Broker_id_is_not_reused() =>
        Assert.Equal(8, new ClusterRoster("local", [new RosterEntry(7, null), new RosterEntry(2, null)]).Plus("x").Brokers[^1].BrokerId);

    [Fact]
    public void Removed_broker_is_not_started_and_its_id_is_not_reused()
    {
        var three = Empty.With(3, []);
        Assert.Same(three, three.WithoutRemoved(ended: [3], registered: [1, 2, 3]));
        // A broker that has not joined yet is not registered either.
        Assert.Same(three, three.WithoutRemoved(ended: [], registered: [1, 2]));
        var two = three.WithoutRemoved(ended: [3], registered: [1, 2]);
        Assert.Equal([1, 2], two.Present.Select(broker => broker.BrokerId));
        Assert.Equal([1, 2], two.With(null, []).Present.Select(broker => broker.BrokerId));
        Assert.Equal([1, 2, 4], two.With(3, []).Present.Select(broker => broker.BrokerId));
        Assert.Same(two, two.WithoutRemoved(ended: [3], registered: [1, 2]));
    }

    [Fact]
    public void Broker_that_had_served_restarts_at_once_and_others_back_off()
    {
        Assert.Equal(TimeSpan.FromMilliseconds(250), RestartBackoff.After(0));
        Assert.Equal(TimeSpan.FromSeconds(1), RestartBackoff.After(2));
        Assert.Equal(TimeSpan.FromSeconds(10), RestartBackoff.After(1000));
    }
}
