namespace OrleansMq.Tests.Process.Clusters;

/// <summary>A cluster of three silos for all tests of a collection: what is killed comes back. It is started by the first test that asks
/// for it.</summary>
[CollectionDefinition(Name)]
public sealed class SharedCluster : IAsyncLifetime, ICollectionFixture<SharedCluster>
{
    /// <summary>Of the collection.</summary>
    public const string Name = "a cluster for Kafka clients";

    private Task<RunningCluster>? _cluster;

    public Task InitializeAsync() => Task.CompletedTask;

    /// <summary>The cluster; skips the test where there is no PostgreSQL.</summary>
    internal Task<RunningCluster> UpAsync() => _cluster ??= RunningCluster.UpAsync(3, "--restart");

    public async Task DisposeAsync()
    {
        if (_cluster is not { IsCompletedSuccessfully: true })
            return;
        await using var cluster = await _cluster;
        (await cluster.EndAsync()).Expect(0);
    }
}
