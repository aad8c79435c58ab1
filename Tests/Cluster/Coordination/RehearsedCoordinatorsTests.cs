using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Grains.Coordination;
using OrleansMq.State;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Cluster.Coordination;

/// <summary>The coordinators that a broker rehearses with. One that fails early compiles nothing of what follows.</summary>
public sealed class RehearsedCoordinatorsTests
{
    private readonly FileStateStore _store = FileStateStore.Open(new MemoryFileSystem(), "/state");

    [Fact]
    public async Task Transaction_is_committed_at_each_start()
    {
        for (var start = 0; start < 3; start++)
            Assert.Equal(ErrorCode.None, await Coordinators(1).CommitAsync());
    }

    [Fact]
    public async Task Group_is_joined_and_left_at_each_start()
    {
        for (var start = 0; start < 3; start++)
            Assert.Equal(ErrorCode.None, await Coordinators(1).JoinAsync());
    }

    [Fact]
    public async Task Brokers_rehearse_at_the_same_time() => Assert.All(
        await Task.WhenAll(Enumerable.Range(1, 5).Select(broker => Coordinators(broker).CommitAsync())),
        static error => Assert.Equal(ErrorCode.None, error));

    [Fact]
    public void Each_broker_is_asked_for_an_id_that_it_coordinates()
    {
        int[] live = [3, 8, 1, 12];
        foreach (var broker in live)
        {
            var id = CoordinatorRehearsal.IdOn(broker, live);
            Assert.All(live, self => Assert.Equal(broker,
                CoordinatorChoice.Decide(id, self, live, static _ => true, static _ => CoordinatorHolding.Absent)));
        }
    }

    private RehearsedCoordinators Coordinators(int broker) => new(_store, broker, new NoTopics(), TimeProvider.System);

    private sealed class NoTopics : IClusterMetadata
    {
        public event Action<ClusterImage>? Changed
        {
            add { }
            remove { }
        }

        public ClusterImage Image => ClusterImage.Empty;

        public ClusterDescription Describe() => throw new NotSupportedException();

        public Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
