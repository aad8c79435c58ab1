using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A broker: its disk, its view of the others, and while its process runs its log and roles.</summary>
internal sealed class SimulatedBroker(int id, SimulatedDisk disk, SimulatedMembership membership)
{
    public int Id { get; } = id;
    public SimulatedDisk Disk { get; } = disk;
    public SimulatedMembership Membership { get; } = membership;
    /// <summary>Incremented at every start, so that steps of an earlier process are dropped.</summary>
    public int Process { get; private set; }
    public bool IsUp { get; private set; }
    public long PausedUntil { get; set; }
    public List<ReplicationEffect> Effects { get; } = [];
    public SimulatedLog Log { get; private set; } = null!;
    public FollowerReplica Follower { get; private set; } = null!;
    public LeaderReplica? Leader { get; private set; }
    /// <summary>The topic it was asked to lead; its directory may belong to another.</summary>
    public Topic Topic { get; private set; } = disk.Topic;
    public bool Announced { get; set; }
    /// <summary>The topic's configuration as its process knows it; null before it does.</summary>
    public SimulatedConfig? Config { get; private set; }
    /// <summary>The earliest start of the next catch-up work. Like the rest itself it belongs to the process.</summary>
    public TimeSpan CatchUpRestUntil { get; set; }
    public ReplicaIdentity Identity => new(Id, Disk.Incarnation);
    public bool Leads => IsUp && Leader is { Status: LeaderStatus.Leading };
    public bool IsActivated => IsUp && Leader is { Status: not LeaderStatus.Stopped };

    public void Start(ReplicationRules rules, SimulatedConfig? config)
    {
        Process++;
        IsUp = true;
        Effects.Clear();
        CatchUpRestUntil = default;
        Leader = null;
        Log = new SimulatedLog(Id, Disk, rules);
        Log.Settle(config);
        if ((Config = config) is not null)
            Follow(config!);
        // Recovering the fence is a decision, too: a mutant forgets the fence here.
        Disk.Fence = rules.FenceAfterRestart(Disk.Fence, Log.LatestEpoch);
        Follower = new FollowerReplica(rules, Log, Identity, Disk.Topic.Id, Effects);
    }

    public void Activate(LeaderReplica leader, Topic topic, StoredPartitionState? known, long now)
    {
        Leader?.Stop("another activation"); // A new activation waits for the old one of the same replica to end.
        (Leader, Topic, Announced) = (leader, topic, false);
        leader.Start(known, now);
    }

    public void Follow(SimulatedConfig config)
    {
        Config = config;
        Log.FollowPolicy(config.Sync);
    }

    public void Stop()
    {
        IsUp = false;
        Leader = null;
        PausedUntil = 0;
        Effects.Clear();
    }
}
