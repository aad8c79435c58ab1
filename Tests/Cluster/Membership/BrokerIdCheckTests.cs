using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Cluster.Membership;

/// <summary>What a broker does about entries of the membership table before it joins.</summary>
public sealed class BrokerIdCheckTests : IDisposable
{
    private readonly MembershipTable _table = new();
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly int _refusing;

    public BrokerIdCheckTests()
    {
        _listener.Start();
        using var closed = new TcpListener(IPAddress.Loopback, 0);
        closed.Start();
        _refusing = ((IPEndPoint)closed.LocalEndpoint).Port;
    }

    private int Accepting => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public void Dispose() => _listener.Dispose();

    [Fact]
    public async Task Stale_entry_of_a_killed_predecessor_is_declared_dead()
    {
        _table.Add("broker-1", IPAddress.Loopback, _refusing);
        await CheckAsync(1);
        Assert.Equal([SiloStatus.Dead], _table.Statuses);
    }

    [Fact]
    public async Task Stale_entries_of_other_brokers_on_this_machine_alone_are_declared_dead()
    {
        _table.Add("broker-2", IPAddress.Loopback, _refusing);
        _table.Add("broker-3", IPAddress.Loopback, Accepting);
        _table.Add("broker-4", IPAddress.Parse("192.0.2.1"), _refusing);
        await CheckAsync(1);
        Assert.Equal([SiloStatus.Dead, SiloStatus.Active, SiloStatus.Active], _table.Statuses);
    }

    [Fact]
    public async Task Membership_table_that_changes_concurrently_is_read_again()
    {
        _table.Add("broker-1", IPAddress.Loopback, _refusing);
        _table.Add("broker-2", IPAddress.Loopback, _refusing);
        _table.LosesFirst = 3;
        await CheckAsync(1);
        Assert.Equal([SiloStatus.Dead, SiloStatus.Dead], _table.Statuses);
    }

    [Fact]
    public async Task Live_silo_with_the_same_broker_id_is_named()
    {
        _table.Add("broker-1", IPAddress.Loopback, Accepting);
        _table.SignsOfLife = true;
        var refused = await Assert.ThrowsAsync<BrokerIdTakenException>(() => CheckAsync(1));
        Assert.All([$"127.0.0.1:{Accepting}", "host-1", "--broker-id", "'orders'", "Broker 1"],
            part => Assert.Contains(part, refused.Message, StringComparison.Ordinal));
        Assert.Equal([SiloStatus.Active], _table.Statuses);
    }

    [Fact]
    public async Task Long_dead_entry_is_ignored()
    {
        _table.Add("broker-1", IPAddress.Loopback, Accepting, SiloStatus.Dead);
        await CheckAsync(1);
        Assert.Equal([SiloStatus.Dead], _table.Statuses);
    }

    [Fact]
    public async Task Predecessors_are_declared_dead_before_a_silo_listens_on_the_port_of_its_own()
    {
        _table.Add("broker-1", IPAddress.Loopback, _refusing);
        _table.Add("broker-2", IPAddress.Loopback, _refusing);
        var lifecycle = new Stages();
        Check(1, new BrokerClusterOptions { ClusterId = "orders", PostgreSql = "Host=localhost" }).Participate(lifecycle);
        // Orleans listens one stage before RuntimeInitialize.
        foreach (var step in lifecycle.Steps.Where(static step => step.Stage < ServiceLifecycleStage.RuntimeInitialize - 1))
            await step.Observer.OnStart(CancellationToken.None);
        Assert.Equal([SiloStatus.Dead, SiloStatus.Dead], _table.Statuses);
    }

    [Fact]
    public async Task Broker_that_starts_with_the_id_of_another_buries_nobody()
    {
        _table.Add("broker-1", IPAddress.Loopback, _refusing);
        var disk = new MemoryFileSystem();
        DataDirectory.Open(disk, "/nowhere", new BrokerId(2), "orders").Dispose();
        var lifecycle = new Stages();
        Check(1, new BrokerClusterOptions { ClusterId = "orders", PostgreSql = "Host=localhost" }, disk).Participate(lifecycle);
        var refused = await Assert.ThrowsAsync<DataDirectoryException>(() =>
            lifecycle.Steps.MinBy(static step => step.Stage).Observer.OnStart(CancellationToken.None));
        Assert.Contains("belongs to broker 2", refused.Message, StringComparison.Ordinal);
        Assert.Equal([SiloStatus.Active], _table.Statuses);
    }

    private Task CheckAsync(int broker) =>
        Check(broker, new BrokerClusterOptions { ClusterId = "orders" }).CheckAsync(CancellationToken.None);

    private BrokerIdCheck Check(int broker, BrokerClusterOptions cluster, IFileSystem? disk = null)
    {
        var options = new BrokerOptions
        {
            DataDirectory = "/nowhere",
            BrokerId = new BrokerId(broker),
            FileSystem = disk ?? new MemoryFileSystem(),
        };
        var services = new ServiceCollection().AddSingleton<IMembershipTable>(_table).BuildServiceProvider();
        return new BrokerIdCheck(services, new SiloBroker(options, cluster), cluster);
    }

    /// <summary>A lifecycle that keeps what is subscribed to.</summary>
    private sealed class Stages : ISiloLifecycle
    {
        public List<(int Stage, ILifecycleObserver Observer)> Steps { get; } = [];

        public int HighestCompletedStage => int.MinValue;

        public int LowestStoppedStage => int.MaxValue;

        public IDisposable Subscribe(string observerName, int stage, ILifecycleObserver observer)
        {
            Steps.Add((stage, observer));
            return new MemoryStream();
        }
    }

    /// <summary>An in-memory membership table.</summary>
    private sealed class MembershipTable : IMembershipTable
    {
        private readonly List<MembershipEntry> _entries = [];
        private int _version;

        public int LosesFirst { get; set; }

        public bool SignsOfLife { get; set; }

        public IEnumerable<SiloStatus> Statuses => _entries.Select(entry => entry.Status);

        public void Add(string name, IPAddress address, int port, SiloStatus status = SiloStatus.Active) => _entries.Add(new MembershipEntry
        {
            SiloName = name,
            SiloAddress = SiloAddress.New(address, port, _entries.Count + 1),
            Status = status,
            HostName = $"host-{_entries.Count + 1}",
            StartTime = DateTime.UnixEpoch,
            IAmAliveTime = DateTime.UnixEpoch,
        });

        public Task InitializeMembershipTable(bool tryInitTableVersion) => Task.CompletedTask;

        public Task<MembershipTableData> ReadAll()
        {
            if (SignsOfLife)
                _entries.ForEach(entry => entry.IAmAliveTime += TimeSpan.FromSeconds(1));
            var rows = _entries.Select(entry => Tuple.Create(Copy(entry), $"{_version}")).ToList();
            return Task.FromResult(new MembershipTableData(rows, new TableVersion(_version, $"{_version}")));
        }

        public Task<bool> UpdateRow(MembershipEntry entry, string etag, TableVersion tableVersion)
        {
            if (LosesFirst-- > 0)
                _version++;
            if (tableVersion.Version != _version + 1)
                return Task.FromResult(false);
            _version++;
            _entries[_entries.FindIndex(known => known.SiloAddress.Equals(entry.SiloAddress))] = entry;
            return Task.FromResult(true);
        }

        public Task DeleteMembershipTableEntries(string clusterId) => throw new NotSupportedException();

        public Task CleanupDefunctSiloEntries(DateTimeOffset beforeDate) => throw new NotSupportedException();

        public Task<MembershipTableData> ReadRow(SiloAddress key) => throw new NotSupportedException();

        public Task<bool> InsertRow(MembershipEntry entry, TableVersion tableVersion) => throw new NotSupportedException();

        public Task UpdateIAmAlive(MembershipEntry entry) => throw new NotSupportedException();

        private static MembershipEntry Copy(MembershipEntry entry) => new()
        {
            SiloName = entry.SiloName,
            SiloAddress = entry.SiloAddress,
            Status = entry.Status,
            HostName = entry.HostName,
            StartTime = entry.StartTime,
            IAmAliveTime = entry.IAmAliveTime,
        };
    }
}
