using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;
using OrleansMq.Tests.Cluster.Hosting;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Membership;

/// <summary>How silos of a replicated cluster know and reach each other.</summary>
public sealed class ReplicatedMembershipTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>, IDisposable
{
    private readonly TempDirectory _one = new();
    private readonly TempDirectory _two = new();

    public void Dispose()
    {
        _one.Dispose();
        _two.Dispose();
    }

    [SkippableFact]
    public async Task Brokers_know_each_other_by_id_until_one_stops()
    {
        var database = await postgres.DatabaseAsync();
        await using var one = await ReplicatedTestSilo.StartAsync(database, _one.Path, 1);
        await using (var two = await ReplicatedTestSilo.StartAsync(database, _two.Path, 2))
        {
            foreach (var silo in new[] { one, two })
            {
                await Wait.UntilAsync(() => silo.Membership.IsActive(1) && silo.Membership.IsActive(2), "both brokers are active");
                var address = silo.Membership.AddressOf(2);
                Assert.Equal(two.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress, address);
                Assert.Equal(2, silo.Membership.BrokerOf(address!));
                Assert.False(silo.Membership.IsAlive(3));
            }
        }
        await Wait.UntilAsync(() => !one.Membership.IsAlive(2), "broker 2 is declared dead");
        Assert.Null(one.Membership.AddressOf(2));
        Assert.Equal(ErrorCode.BrokerNotAvailable, Assert.Throws<BrokerException>(() => one.Others.Of(2)).Code);
    }

    [SkippableFact]
    public async Task Broker_reaches_the_replicas_of_another()
    {
        var database = await postgres.DatabaseAsync();
        var images = new Images();
        await using var one = await ReplicatedTestSilo.StartAsync(database, _one.Path, 1);
        await using var two = await ReplicatedTestSilo.StartAsync(database, _two.Path, 2,
            configure: silo => silo.Services.AddSingleton<IClusterImageSink>(images));
        await Wait.UntilAsync(() => one.Membership.IsActive(2), "broker 2 is active");
        var (key, missing) = (new ReplicaKey(Guid.NewGuid(), 3), new ReplicaKey(Guid.NewGuid(), 0));

        var other = one.Others.Of(2);
        await other.OpenReplicaAsync(key, "orders", new() { ["retention.ms"] = "1000" });
        var report = Assert.Single(await one.Others.ReportAsync(2, [key, missing], CancellationToken.None));
        Assert.Equal((key, 2, ReplicaRole.Follower, 0L), (report.Key, report.Identity.Broker, report.Role, report.LogEndOffset));
        Assert.NotEqual(Guid.Empty, report.Identity.Incarnation);
        Assert.True(two.Services.GetRequiredService<SiloReplicas>().Manager.TryGet(key, out var replica));
        Assert.Equal(report, replica.Report());
        Assert.Equal((new TopicPartition("orders", 3), 1000L), (replica.TopicPartition, replica.Partition.Config.RetentionMs));
        await other.DropReplicaAsync(key);
        Assert.Empty(await one.Others.ReportAsync(2, [key], CancellationToken.None));

        await other.PushImageAsync(new byte[] { 1, 2, 3 });
        Assert.Contains(images.All, image => image is [1, 2, 3]);
    }

    [SkippableFact]
    public async Task Broker_declared_dead_exits_with_code_3()
    {
        var database = await postgres.DatabaseAsync();
        var exited = new TaskCompletionSource<(int, string)>();
        await using var one = await ReplicatedTestSilo.StartAsync(database, _one.Path, 1,
            cluster => cluster with { Exit = (code, reason) => exited.TrySetResult((code, reason)) });
        await PostgreSqlFixture.ExecuteAsync(database,
            $"UPDATE omq_member SET status = {(int)SiloStatus.Dead}; UPDATE omq_cluster SET version = version + 1");
        var (code, reason) = await exited.Task.WaitAsync(Wait.Deadline);
        Assert.Equal(DeclaredDead.ExitCode, code);
        Assert.StartsWith("this broker was declared dead by its cluster", reason, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task User_host_reports_the_directory_problem()
    {
        var database = await postgres.DatabaseAsync();
        await using (await ReplicatedTestSilo.StartAsync(database, _one.Path, 1))
        {
        }
        var refused = await Assert.ThrowsAnyAsync<Exception>(() =>
            ReplicatedTestSilo.StartAsync(database, _one.Path, 1, cluster => cluster with { ClusterId = "other" }));
        Assert.Contains("--cluster-id orleansmq", refused.GetBaseException().Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Host=db", "Maximum Pool Size=16", "Application Name=\"orleansmq mine\"")]
    [InlineData("Host=db;MaxPoolSize=100;Application Name=shop", "Maximum Pool Size=100", "Application Name=shop")]
    public void Silo_opens_few_database_connections_by_default(string given, params string[] parts) =>
        Assert.All(parts, part => Assert.Contains(part, ReplicatedSilo.Bounded(given, "mine"), StringComparison.Ordinal));

    private sealed class Images : IClusterImageSink
    {
        // Includes the cluster's own pushes, besides those of the test.
        public ConcurrentBag<byte[]> All { get; } = [];

        public Task<long> AcceptAsync(ReadOnlyMemory<byte> image)
        {
            All.Add(image.ToArray());
            return Task.FromResult(0L);
        }
    }
}
