namespace OrleansMq.Tests.ProcessClusters;

/// <summary>A cluster of three silos for all tests of a collection. Killed brokers restart. The first test that needs it starts
/// it.</summary>
[CollectionDefinition(Name)]
public sealed class SharedCluster : IAsyncLifetime, ICollectionFixture<SharedCluster>
{
    /// <summary>The collection's name.</summary>
    public const string Name = "a cluster for Kafka clients";

    private Task<RunningCluster>? _cluster;

    public Task InitializeAsync() => Task.CompletedTask;

    /// <summary>Returns the cluster, or skips the test if the machine has no PostgreSQL.</summary>
    internal Task<RunningCluster> UpAsync() => _cluster ??= RunningCluster.UpAsync(3, "--restart");

    public async Task DisposeAsync()
    {
        if (_cluster is not { IsCompletedSuccessfully: true })
            return;
        await using var cluster = await _cluster;
        (await cluster.EndAsync()).Expect(0);
    }
}
