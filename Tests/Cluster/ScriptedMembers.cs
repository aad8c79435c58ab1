using System.Collections.Immutable;
using System.Net;
using System.Threading.Channels;

namespace OrleansMq.Tests.Cluster;

/// <summary>A membership of active brokers that a test changes. Their silos have no process.</summary>
internal sealed class ScriptedMembers : IClusterMembershipService
{
    private readonly Channel<ClusterMembershipSnapshot> _updates = Channel.CreateUnbounded<ClusterMembershipSnapshot>();

    /// <param name="brokers">The brokers at first.</param>
    public ScriptedMembers(params int[] brokers) => CurrentSnapshot = SnapshotOf(1, brokers);

    public ClusterMembershipSnapshot CurrentSnapshot { get; private set; }

    public IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates => _updates.Reader.ReadAllAsync();

    /// <summary>Other brokers are members from now on.</summary>
    public void Change(params int[] brokers)
    {
        CurrentSnapshot = SnapshotOf(CurrentSnapshot.Version.Value + 1, brokers);
        Assert.True(_updates.Writer.TryWrite(CurrentSnapshot));
    }

    /// <summary>No further change comes.</summary>
    public void End() => _updates.Writer.TryComplete();

    public ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default) => default;

    public Task<bool> TryKill(SiloAddress siloAddress) => Task.FromResult(false);

    private static ClusterMembershipSnapshot SnapshotOf(long version, int[] brokers) => new(brokers
        .Select(static broker => new ClusterMember(SiloAddress.New(IPAddress.Loopback, broker, 1), SiloStatus.Active, $"broker-{broker}"))
        .ToImmutableDictionary(static member => member.SiloAddress), new MembershipVersion(version));
}
