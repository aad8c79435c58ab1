using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Tests.Cluster.Membership;

/// <summary>The watcher on its thread, with plain ports as silos.</summary>
public sealed class ProcessWatcherTests : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly TcpListener _victim = new(IPAddress.Loopback, 0);
    private readonly TcpListener _bystander = new(IPAddress.Loopback, 0);
    private readonly Members _members = new();
    private readonly ServiceProvider _services = new ServiceCollection().BuildServiceProvider();
    private readonly SiloLifecycleSubject _lifecycle = new(NullLogger<SiloLifecycleSubject>.Instance);
    private readonly ClusterMembership _membership;
    private readonly ProcessWatcher _watcher;

    public ProcessWatcherTests()
    {
        _victim.Start();
        _bystander.Start();
        _members.CurrentSnapshot = new ClusterMembershipSnapshot(new[]
        {
            new ClusterMember(_members.SiloAddress, SiloStatus.Active, "broker-1"),
            new ClusterMember(AddressOf(_victim), SiloStatus.Active, "broker-2"),
            new ClusterMember(AddressOf(_bystander), SiloStatus.Active, "broker-3"),
        }.ToImmutableDictionary(member => member.SiloAddress), new MembershipVersion(1));
        _membership = new ClusterMembership(_members, EngineLog.Silent);
        _watcher = new ProcessWatcher(_membership, _members, new Obituaries(_services), _members, EngineLog.Silent);
    }

    public async ValueTask DisposeAsync()
    {
        await _lifecycle.OnStop();
        _watcher.Dispose();
        _membership.Dispose();
        _victim.Dispose();
        _bystander.Dispose();
        await _services.DisposeAsync();
    }

    [Fact]
    public async Task Silo_whose_port_closes_is_alone_declared_dead()
    {
        _membership.Participate(_lifecycle);
        _watcher.Participate(_lifecycle);
        await _lifecycle.OnStart();
        using (await _victim.AcceptSocketAsync().WaitAsync(Patience))
        using (await _bystander.AcceptSocketAsync().WaitAsync(Patience))
            _victim.Stop();
        Assert.Equal(AddressOf(_victim), await _members.Killed.Task.WaitAsync(Patience));
        // The other silo's connection was cut as well, and its port accepts the next one.
        using var again = await _bystander.AcceptSocketAsync().WaitAsync(Patience);
    }

    private SiloAddress AddressOf(TcpListener listener) => SiloAddress.New(_endpoints.TryGetValue(listener, out var known)
        ? known
        : _endpoints[listener] = (IPEndPoint)listener.LocalEndpoint, 1);

    // A stopped listener loses its endpoint.
    private readonly Dictionary<TcpListener, IPEndPoint> _endpoints = [];

    /// <summary>A static membership that includes this silo.</summary>
    private sealed class Members : IClusterMembershipService, ILocalSiloDetails
    {
        public TaskCompletionSource<SiloAddress> Killed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ClusterMembershipSnapshot CurrentSnapshot { get; set; } = null!;

        public IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates => AsyncEnumerable.Empty<ClusterMembershipSnapshot>();

        public string Name => "broker-1";

        public string ClusterId => "test";

        public string DnsHostName => "here";

        public SiloAddress SiloAddress { get; } = SiloAddress.New(IPAddress.Loopback, 1, 1);

        public SiloAddress GatewayAddress => SiloAddress;

        public ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default) => default;

        public Task<bool> TryKill(SiloAddress siloAddress)
        {
            Killed.TrySetResult(siloAddress);
            return Task.FromResult(true);
        }
    }
}
