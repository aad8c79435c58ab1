using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>How a leader search handles concurrent changes.</summary>
public sealed class LeaderSearchTests
{
    private static readonly ReplicaKey Key = new(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), 0);

    [Theory]
    [InlineData(false)]
    [InlineData(true)] // Searches for many partitions at once.
    public async Task Search_finds_a_leader_that_starts_during_its_reads(bool many)
    {
        var world = new World();
        var search = new LeaderSearch(world, world, TimeSpan.FromSeconds(60), TimeProvider.System, EngineLog.Silent);
        var found = many ? Assert.Single(await search.FindAsync([Key], 1)) : await search.FindAsync(Key);
        Assert.Equal((3, true), (found.Choice.Broker, found.Choice.Leads));
    }

    /// <summary>Three brokers. The third one's claim is stored, and becomes known, at the moment the state is read.</summary>
    private sealed class World : IPartitionStates, IBrokerPeers
    {
        private bool _isStored;

        public bool IsReplicated => true;

        public int Self => 1;

        public IReadOnlyCollection<int> Live { get; } = [1, 2, 3];

        public event Action Changed
        {
            add { }
            remove { }
        }

        public Task<StoredPartitionState?> ReadAsync(ReplicaKey key)
        {
            _isStored = true;
            var state = PartitionState.Create(key.TopicId, [2, 1, 3]) with { LeaderEpoch = 5, Leader = 3,
                Isr = [Member(1), Member(2), Member(3)] };
            return Task.FromResult<StoredPartitionState?>(new(state, "5"));
        }

        public Task<IReadOnlyList<ReplicaReport?>> ReportAsync(int broker, IReadOnlyList<ReplicaKey> keys,
            CancellationToken cancellationToken)
        {
            var leads = _isStored && broker == 3;
            return Task.FromResult<IReadOnlyList<ReplicaReport?>>([.. keys.Select(key => new ReplicaReport(key, Member(broker),
                leads ? ReplicaRole.Leader : ReplicaRole.Follower, leads ? 3 : 2, leads ? 5 : 4, 4, 0, 0, 0, null))]);
        }

        public SiloAddress? Find(int broker) => SiloAddress.FromParsableString($"127.0.0.1:{1000 + broker}@1");

        public bool IsActive(int broker) => true;

        public TopicConfig? FindConfig(ReplicaKey key) => null;

        public Task<string> CreateAsync(ReplicaKey key, PartitionState state) => throw new NotSupportedException();

        public Task<string> WriteAsync(ReplicaKey key, PartitionState state, string etag) => throw new NotSupportedException();

        public Task ClearAsync(ReplicaKey key) => throw new NotSupportedException();

        private static ReplicaIdentity Member(int broker) => new(broker, new Guid(broker, 0, 0, new byte[8]));
    }
}
