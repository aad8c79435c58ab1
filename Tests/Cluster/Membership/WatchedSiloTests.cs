using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Tests.Cluster.Membership;

/// <summary>The watch of one silo over real sockets.</summary>
public sealed class WatchedSiloTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly WatchedSilo _silo;

    public WatchedSiloTests()
    {
        _listener.Start();
        _silo = new WatchedSilo(SiloAddress.New((IPEndPoint)_listener.LocalEndpoint, 1));
    }

    public void Dispose()
    {
        _silo.Dispose();
        _listener.Dispose();
    }

    [Fact]
    public void Closed_port_proves_the_process_dead()
    {
        AdvanceTo(ProcessState.Connected);
        using (var accepted = _listener.AcceptSocket())
        {
            accepted.Send(new byte[5000]);
            _listener.Stop();
        }
        AdvanceTo(ProcessState.Gone);
    }

    [Fact]
    public void Unresponsive_process_is_not_proven_dead()
    {
        // Like a stopped process: only its kernel answers.
        AdvanceTo(ProcessState.Connected);
        for (var round = 0; round < 100; round++)
        {
            _silo.Advance(Stopwatch.GetElapsedTime(0));
            Assert.Equal(ProcessState.Connected, _silo.Proof.State);
        }
    }

    [Fact]
    public void Cut_connection_is_reestablished()
    {
        AdvanceTo(ProcessState.Connected);
        using (var accepted = _listener.AcceptSocket())
            accepted.LingerState = new LingerOption(true, 0);
        AdvanceTo(ProcessState.Unknown);
        AdvanceTo(ProcessState.Connected);
    }

    [Fact]
    public void Port_that_always_refused_proves_nothing()
    {
        _listener.Stop();
        var attempts = new HashSet<TimeSpan>();
        AdvanceUntil(() => attempts.Add(_silo.Proof.NextAttempt) && attempts.Count > EndpointProbe.Refusals + 1);
        Assert.Equal(ProcessState.Unknown, _silo.Proof.State);
    }

    [Fact]
    public void Addresses_of_this_machine_are_local() => Assert.True(_silo.IsLocal && !EndpointProbe.IsLocal(IPAddress.Parse("192.0.2.1")));

    private void AdvanceTo(ProcessState state) => AdvanceUntil(() => _silo.Proof.State == state);

    private void AdvanceUntil(Func<bool> reached)
    {
        var since = Stopwatch.StartNew();
        while (!reached())
        {
            Assert.True(since.Elapsed < Patience, $"It is {_silo.Proof.State}.");
            _silo.Advance(Stopwatch.GetElapsedTime(0));
            Thread.Yield();
        }
    }
}
