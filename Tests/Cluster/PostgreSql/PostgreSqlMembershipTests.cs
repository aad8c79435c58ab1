// The obsolete members are the ones that every supported build of Orleans has.
#pragma warning disable CS0618

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;
using Orleans.Runtime.MembershipService;
using Orleans.TestingHost;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.PostgreSql;

/// <summary>Silos that find each other through PostgreSQL alone.</summary>
public sealed class PostgreSqlMembershipTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    private const int Active = (int)SiloStatus.Active, Dead = (int)SiloStatus.Dead;

    private const string DatabaseKey = "MembersInPostgreSql";

    // A silo is declared dead by probes that go unanswered one after the other: for longer than a busy machine pauses.
    private const int MissedProbes = 6;
    private static readonly TimeSpan ProbeTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    [SkippableFact]
    public async Task Two_silos_join_and_a_killed_one_is_marked_dead()
    {
        var database = await MigratedAsync();
        var builder = new TestClusterBuilder(2) { Options = { UseTestClusterMembership = false } };
        builder.Properties[DatabaseKey] = database;
        builder.AddSiloBuilderConfigurator<MembersInPostgreSql>().AddClientBuilderConfigurator<MembersInPostgreSql>();
        await using var cluster = builder.Build();
        await cluster.DeployAsync();
        await WaitAsync(database, [Active, Active]);
        var (survivor, victim) = (cluster.Silos[0], cluster.Silos[1]);
        var killed = $"port = {victim.SiloAddress.Endpoint.Port} AND generation = {victim.SiloAddress.Generation}";
        var versionBefore = (await PostgreSqlFixture.ReadAsync<int>(database, "SELECT version FROM omq_cluster")).Single();

        // A silo in this process is not killed like a process: it may still mark itself as leaving in the table.
        await cluster.KillSiloAsync(victim);

        await WaitAsync(database, [Active, Dead]);
        Assert.Equal([Dead], await PostgreSqlFixture.ReadAsync<int>(database, $"SELECT status FROM omq_member WHERE {killed}"));
        Assert.True((await PostgreSqlFixture.ReadAsync<int>(database, "SELECT version FROM omq_cluster")).Single() > versionBefore);
        var management = cluster.Client.GetGrain<IManagementGrain>(0);
        Assert.Equal([survivor.SiloAddress], (await management.GetHosts(onlyActive: true)).Keys);
    }

    [SkippableFact]
    public async Task Membership_change_is_a_compare_and_swap_on_the_table_version()
    {
        var table = await TableAsync(await MigratedAsync(), "prod");
        var empty = await table.ReadAll();
        Assert.Empty(empty.Members);
        var (one, two) = (Member(1), Member(2));
        Assert.True(await table.InsertRow(one, empty.Version.Next()));
        Assert.False(await table.InsertRow(two, empty.Version.Next()), "an old version");
        var first = await table.ReadAll();
        Assert.NotEqual(empty.Version.VersionEtag, first.Version.VersionEtag);
        Assert.False(await table.InsertRow(one, first.Version.Next()), "a member already");
        Assert.False(await table.UpdateRow(two, "", first.Version.Next()), "no member");
        Assert.Equal(first.Version, (await table.ReadAll()).Version);

        one.Status = SiloStatus.Active;
        one.AddSuspector(two.SiloAddress, DateTime.UtcNow);
        var etag = Assert.Single(first.Members).Item2;
        Assert.True(await table.UpdateRow(one, etag, first.Version.Next()));
        Assert.False(await table.UpdateRow(one, etag, first.Version.Next()), "an old version");
        var (stored, _) = Assert.Single((await table.ReadRow(one.SiloAddress)).Members);
        Assert.Equal((SiloStatus.Active, one.SiloName, one.HostName, one.ProxyPort, one.SiloAddress),
            (stored.Status, stored.SiloName, stored.HostName, stored.ProxyPort, stored.SiloAddress));
        Assert.Equal(two.SiloAddress, Assert.Single(stored.SuspectTimes!).Item1);
        Assert.Empty((await table.ReadRow(two.SiloAddress)).Members);
    }

    [SkippableFact]
    public async Task Concurrent_changes_of_one_version_have_one_winner()
    {
        const int rounds = 10, writers = 6;
        var table = await TableAsync(await MigratedAsync(), "prod");
        for (var round = 0; round < rounds; round++)
        {
            var next = (await table.ReadAll()).Version.Next();
            var outcomes = await Task.WhenAll(Enumerable.Range(0, writers).Select(writer =>
                Task.Run(() => table.InsertRow(Member((round * writers) + writer), next))));
            Assert.Single(outcomes, inserted => inserted);
        }
        Assert.Equal(rounds, (await table.ReadAll()).Members.Count);
    }

    [SkippableFact]
    public async Task Heartbeat_keeps_the_version_and_silent_entries_are_cleaned_up()
    {
        var database = await MigratedAsync();
        var (table, other) = (await TableAsync(database, "prod"), await TableAsync(database, "other"));
        var longAgo = DateTime.UtcNow.AddDays(-10);
        foreach (var (port, status) in new[] { (1, SiloStatus.Active), (2, SiloStatus.Dead), (3, SiloStatus.Dead) })
        {
            var member = Member(port, status, longAgo);
            Assert.True(await table.InsertRow(member, (await table.ReadAll()).Version.Next()));
            Assert.True(await other.InsertRow(member, (await other.ReadAll()).Version.Next()));
        }
        var before = (await table.ReadAll()).Version;
        await table.UpdateIAmAlive(Member(3, SiloStatus.Dead, DateTime.UtcNow));
        Assert.Equal(before, (await table.ReadAll()).Version);

        await table.CleanupDefunctSiloEntries(DateTimeOffset.UtcNow.AddDays(-7));

        Assert.Equal([1, 3], (await table.ReadAll()).Members.Select(member => member.Item1.SiloAddress.Endpoint.Port).Order());
        await table.DeleteMembershipTableEntries("prod");
        Assert.Empty(await PostgreSqlFixture.ReadAsync<int>(database, "SELECT port FROM omq_member WHERE cluster_id = 'prod'"));
        Assert.Equal(3, (await other.ReadAll()).Members.Count);
    }

    private static MembershipEntry Member(int port, SiloStatus status = SiloStatus.Joining, DateTime? alive = null) => new()
    {
        SiloAddress = SiloAddress.New(System.Net.IPAddress.Loopback, port, 7),
        SiloName = $"broker-{port}",
        HostName = "here",
        ProxyPort = 30_000,
        Status = status,
        StartTime = alive ?? DateTime.UtcNow,
        IAmAliveTime = alive ?? DateTime.UtcNow,
    };

    private async Task<string> MigratedAsync()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        return database;
    }

    /// <summary>Opens the membership table of a cluster without a silo.</summary>
    private static async Task<IMembershipTable> TableAsync(string database, string cluster)
    {
        var services = new ServiceCollection().AddLogging().Configure<ClusterOptions>(options => options.ClusterId = cluster);
        services.Configure<AdoNetClusteringSiloOptions>(options => (options.Invariant, options.ConnectionString) = ("Npgsql", database));
        services.AddSingleton<IMembershipTable, AdoNetClusteringTable>();
        var table = services.BuildServiceProvider().GetRequiredService<IMembershipTable>();
        await table.InitializeMembershipTable(tryInitTableVersion: true);
        await table.InitializeMembershipTable(tryInitTableVersion: true);
        return table;
    }

    private static async Task WaitAsync(string database, int[] statuses)
    {
        using var deadline = new CancellationTokenSource(Patience);
        while (true)
        {
            var stored = await PostgreSqlFixture.ReadAsync<int>(database, "SELECT status FROM omq_member ORDER BY status");
            if (stored.SequenceEqual(statuses))
                return;
            Assert.False(deadline.IsCancellationRequested,
                $"The members' states are {string.Join(", ", stored)}, not {string.Join(", ", statuses)}.");
            await Task.Delay(50);
        }
    }

    private sealed class MembersInPostgreSql : ISiloConfigurator, IClientBuilderConfigurator
    {
        public void Configure(ISiloBuilder silo) =>
            silo.UsePostgreSqlClustering(silo.Configuration[DatabaseKey]!).Configure<ClusterMembershipOptions>(options =>
            {
                options.ProbeTimeout = ProbeTimeout;
                options.NumMissedProbesLimit = MissedProbes;
                options.NumVotesForDeathDeclaration = 1;
            });

        public void Configure(IConfiguration configuration, IClientBuilder client) =>
            client.UsePostgreSqlClustering(configuration[DatabaseKey]!);
    }
}
