using System.Diagnostics;
using System.Net.Sockets;
using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Replication;

/// <summary>
/// Notices within some 150 milliseconds that another silo's process was killed, and has it declared dead. On a thread of its own, since the
/// others may be busy when it matters; that costs time, but never a silo that lives: see <see cref="ProcessProof"/>.
/// </summary>
/// <param name="membership">Whom to watch.</param>
/// <param name="members">Who declares dead.</param>
/// <param name="obituaries">Who does where that does not.</param>
/// <param name="self">This silo.</param>
/// <param name="log">Where it says so.</param>
internal sealed class ProcessWatcher(ClusterMembership membership, IClusterMembershipService members, Obituaries obituaries,
    ILocalSiloDetails self, EngineLog log)
    : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    // How late a change of membership is seen. A connection that breaks is seen at once.
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan ObituaryDelay = TimeSpan.FromSeconds(1);

    private readonly Dictionary<SiloAddress, WatchedSilo> _watched = [];
    private readonly ManualResetEventSlim _stopping = new();
    private Thread? _thread;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(ProcessWatcher), ServiceLifecycleStage.Active, _ =>
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "omq-process-watch", Priority = ThreadPriority.AboveNormal };
        _thread.Start();
        return Task.CompletedTask;
    }, _ =>
    {
        Dispose();
        return Task.CompletedTask;
    });

    /// <inheritdoc/>
    public void Dispose()
    {
        _stopping.Set();
        _thread?.Join();
    }

    private void Run()
    {
        while (!_stopping.IsSet)
        {
            var now = Stopwatch.GetElapsedTime(0);
            WatchMembers();
            foreach (var silo in _watched.Values)
                silo.Advance(now);
            Tell();
            Wait(now);
        }
        foreach (var silo in _watched.Values)
            silo.Dispose();
    }

    private void WatchMembers()
    {
        var wanted = membership.Brokers.ByAddress;
        foreach (var gone in _watched.Keys.Where(silo => !wanted.ContainsKey(silo)).ToList())
        {
            _watched.Remove(gone, out var silo);
            silo!.Dispose();
        }
        foreach (var silo in wanted.Keys)
        {
            if (!silo.Equals(self.SiloAddress) && !_watched.ContainsKey(silo))
                _watched.Add(silo, new WatchedSilo(silo));
        }
    }

    private void Tell()
    {
        var states = _watched.Values.Select(silo => (silo, silo.IsLocal, silo.Proof.State)).ToList();
        foreach (var silo in ProcessProof.Believed(states))
        {
            if (silo.IsTold)
                continue;
            silo.IsTold = true;
            log.Write(EngineLogLevel.Warning,
                $"The process of broker {membership.BrokerOf(silo.Address)} at {silo.Address.Endpoint} is gone: its port refuses "
                + "connections. It is declared dead.");
            _ = Task.Run(() => BuryAsync(silo.Address));
        }
    }

    // Orleans tries with longer and longer pauses while the database is down, and would be late when it is back.
    private async Task BuryAsync(SiloAddress silo)
    {
        try
        {
            await members.TryKill(silo);
            await Task.Delay(ObituaryDelay);
            while (!_stopping.IsSet && membership.BrokerOf(silo) is not null && await obituaries.TryDeclareDeadAsync(silo) is false)
                await Task.Delay(ObituaryDelay);
        }
        catch (Exception failure)
        {
            log.Write(EngineLogLevel.Error, $"The silo at {silo.Endpoint} could not be declared dead; probes will find it.", failure);
        }
    }

    private void Wait(TimeSpan now)
    {
        var next = _watched.Values.Where(silo => silo.Socket is null).Select(silo => silo.Proof.NextAttempt - now).Append(LongestWait)
            .Min();
        if (next <= TimeSpan.Zero)
            return;
        List<Socket> connected = [.. _watched.Values.Where(silo => silo is { Socket: not null, IsConnecting: false })
            .Select(silo => silo.Socket!)];
        List<Socket> connecting = [.. _watched.Values.Where(silo => silo.IsConnecting).Select(silo => silo.Socket!)];
        if (connected.Count + connecting.Count == 0)
            _stopping.Wait(next);
        else
            Socket.Select(connected, connecting, new List<Socket>(connecting), (int)next.TotalMicroseconds);
    }
}
