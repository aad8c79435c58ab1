using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.VirtualHosts;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>The questions of a broker for what is newer than its virtual hosts.</summary>
public sealed class VirtualHostsFollowerTests : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly SiloLifecycleSubject _lifecycle = new(NullLogger<SiloLifecycleSubject>.Instance);
    private readonly ScriptedMembers _members = new(1);
    private readonly ClusterMembership _membership;

    public VirtualHostsFollowerTests() => _membership = new ClusterMembership(_members, EngineLog.Silent);

    public async ValueTask DisposeAsync()
    {
        _members.End();
        await _lifecycle.OnStop();
        _membership.Dispose();
    }

    [Fact]
    public async Task Fault_of_any_kind_is_no_end_of_the_questions()
    {
        _membership.Participate(_lifecycle);
        await _lifecycle.OnStart();
        var link = new Link();
        var hosts = new ClusterVirtualHosts(link, EngineLog.Silent);
        var broker = new SiloBroker(new BrokerOptions
        {
            DataDirectory = Path.GetTempPath(),
            BrokerId = new BrokerId(1),
        });
        await using var follower = new VirtualHostsFollower(broker, hosts, _membership);
        await follower.OpenAsync();
        Assert.Equal(1, hosts.Image.Version);

        link.Fails = true;
        _members.Change(1, 2);
        Assert.True(await link.Failed.WaitAsync(Patience));
        link.Fails = false;
        _members.Change(1, 2, 3);
        Assert.True(await link.Answered.WaitAsync(Patience));
        await Wait.UntilAsync(() => hosts.Image.Version == 2, "the broker has the newer image");
    }

    private sealed class Link : IVirtualHostsLink
    {
        private long _version;

        public volatile bool Fails;

        public SemaphoreSlim Failed { get; } = new(0);

        public SemaphoreSlim Answered { get; } = new(0);

        public async Task<VirtualHostReply> AskAsync(VirtualHostRequest request, CancellationToken cancellationToken)
        {
            await Task.Yield();
            if (Fails)
            {
                Failed.Release();
                throw new InvalidOperationException("It is a bug.");
            }
            if (_version++ > 0)
                Answered.Release();
            return new VirtualHostReply { Version = _version, Newer = new VirtualHostsDelta { To = _version, Users = [] } };
        }
    }
}
