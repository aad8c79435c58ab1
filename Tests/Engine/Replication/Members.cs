using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Replication;

/// <summary>Replicas 0 to 2 of one partition.</summary>
internal static class Members
{
    public static readonly Guid TopicId = new("00000000-0000-0000-0000-0000000000aa");
    public static readonly Guid Token = new("00000000-0000-0000-0000-0000000000ff");
    public static readonly ReplicaIdentity A = Of(0);
    public static readonly ReplicaIdentity B = Of(1);
    public static readonly ReplicaIdentity C = Of(2);
    public static readonly ReplicaIdentity RenewedB = new(1, new Guid(99, 0, 0, new byte[8]));

    public static PartitionState Stored(ReplicaIdentity[] isr, params ReplicaIdentity[] elr) =>
        PartitionState.Create(TopicId, [0, 1, 2]) with { LeaderEpoch = 4, Leader = 0, LeaderToken = new Guid(4, 0, 0, new byte[8]),
            Isr = [.. isr], Elr = [.. elr] };

    private static ReplicaIdentity Of(int broker) => new(broker, new Guid(broker + 1, 0, 0, new byte[8]));

    /// <summary>A membership in which all but the given brokers are alive.</summary>
    internal sealed class AllBut(params int[] dead) : IMembership
    {
        public bool IsAlive(int broker) => !dead.Contains(broker);
        public bool IsAlive(ReplicaIdentity member) => IsAlive(member.Broker);
    }
}
