using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A broker: its disk, and while its process runs its log and roles.</summary>
internal sealed class SimulatedBroker(int id, SimulatedDisk disk)
{
    public int Id { get; } = id;
    public SimulatedDisk Disk { get; } = disk;
    /// <summary>Raised with every start, so that what belonged to an earlier process is dropped.</summary>
    public int Process { get; private set; }
    public bool IsUp { get; private set; }
    public long PausedUntil { get; set; }
    public List<ReplicationEffect> Effects { get; } = [];
    public SimulatedLog Log { get; private set; } = null!;
    public FollowerReplica Follower { get; private set; } = null!;
    public LeaderReplica? Leader { get; set; }
    public bool Announced { get; set; }
    public ReplicaIdentity Identity => new(Id, Disk.Incarnation);
    public bool Leads => IsUp && Leader is { Status: LeaderStatus.Leading };
    public bool IsActivated => IsUp && Leader is { Status: not LeaderStatus.Stopped };

    public void Start(ReplicationRules rules, bool sync, Guid topicId, ReplicaChecker checker)
    {
        Process++;
        IsUp = true;
        Effects.Clear();
        Leader = null;
        Log = new SimulatedLog(Disk, sync, checker);
        // What the disk says of the past is a decision too: a mutant forgets the fence here.
        Disk.Fence = rules.FenceAfterRestart(Disk.Fence, Log.Epochs is [.., var last] ? last.Epoch : -1);
        Follower = new FollowerReplica(rules, Log, Identity, topicId, Effects);
    }

    public void Stop()
    {
        IsUp = false;
        Leader = null;
        PausedUntil = 0;
        Effects.Clear();
    }
}
