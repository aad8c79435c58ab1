using System.Diagnostics;
using System.Net.Sockets;
using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Replication;

/// <summary>
/// Detects within about 150 milliseconds that another silo's process was killed, and declares it dead. It has its own thread, since the
/// thread pool may be busy at that moment. Load may delay it but never makes it declare a live silo dead: see <see cref="ProcessProof"/>.
/// </summary>
/// <param name="membership">The brokers to watch.</param>
/// <param name="members">Orleans' membership, which declares silos dead.</param>
/// <param name="obituaries">The fallback when Orleans' membership fails to.</param>
/// <param name="self">This silo.</param>
/// <param name="log">Gets a line for each dead broker.</param>
internal sealed class ProcessWatcher(ClusterMembership membership, IClusterMembershipService members, Obituaries obituaries,
    ILocalSiloDetails self, EngineLog log)
    : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    // The delay before a membership change is noticed. A broken connection is noticed at once.
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
                + "connections. Declaring it dead.");
            _ = Task.Run(() => BuryAsync(silo.Address));
        }
    }

    // Orleans would retry with growing pauses while the database is down, and be late when it is back.
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
            log.Write(EngineLogLevel.Error,
                $"Could not declare the silo at {silo.Endpoint} dead; Orleans' probes will detect it.", failure);
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
