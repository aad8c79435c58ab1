using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>One broker's view of the others: late, and wrong for a while.</summary>
/// <param name="brokers">The number of brokers.</param>
/// <param name="incarnationOf">A broker's answer to a query.</param>
internal sealed class SimulatedMembership(int brokers, Func<int, Guid> incarnationOf) : IMembership
{
    private readonly bool[] _dead = new bool[brokers];

    public void Believe(int broker, bool isDead) => _dead[broker] = isDead;

    public bool IsAlive(int broker) => !_dead[broker];

    public bool IsAlive(ReplicaIdentity member) => !_dead[member.Broker] && incarnationOf(member.Broker) == member.Incarnation;
}
