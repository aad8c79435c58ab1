namespace OrleansMq.Grains.Replication;

/// <summary>What is known of another silo's process.</summary>
internal enum ProcessState
{
    /// <summary>Nothing is proved: never reached, or cut off. Orleans' probes decide.</summary>
    Unknown = 0,
    /// <summary>A connection is open.</summary>
    Connected = 1,
    /// <summary>It was reached before, and its port refuses connections now.</summary>
    Refused = 2,
    /// <summary>It was reached before, and its port has refused often enough: the process is gone.</summary>
    Gone = 3,
}

/// <summary>
/// Decides whether another silo's process is gone: a proof, not a suspicion. Only a kernel refuses a connection, at once and under any
/// load. A process that hangs, is stopped or gets no CPU keeps its connections, and a cut network does not answer. It takes several
/// refusals in a row, since a proxy in between may restart. It also takes an earlier connection, since an address that never worked proves
/// nothing.
/// </summary>
internal sealed class ProcessProof
{
    /// <summary>The pause between attempts to reach a silo that was never reached or is cut off.</summary>
    public static readonly TimeSpan Retry = TimeSpan.FromMilliseconds(250);

    /// <summary>The pause between attempts to reach a silo that is gone. They repeat in case the database was down when it was to be
    /// declared dead.</summary>
    public static readonly TimeSpan Repeat = TimeSpan.FromMilliseconds(500);

    private bool _reached;
    private int _refusals;

    /// <summary>The current knowledge.</summary>
    public ProcessState State { get; private set; }

    /// <summary>When to connect next, in the caller's time; never while a connection is open.</summary>
    public TimeSpan NextAttempt { get; private set; } = TimeSpan.Zero;

    /// <summary>Records that a connection was made.</summary>
    public void OnConnected() => (_reached, _refusals, State, NextAttempt) = (true, 0, ProcessState.Connected, TimeSpan.MaxValue);

    /// <summary>Records that the connection ended, from either side.</summary>
    public void OnClosed(TimeSpan now) => (State, NextAttempt) = (ProcessState.Unknown, now);

    /// <summary>Records that a connection was refused.</summary>
    public void OnRefused(TimeSpan now)
    {
        if (!_reached)
        {
            NextAttempt = now + Retry;
            return;
        }
        _refusals++;
        State = _refusals < EndpointProbe.Refusals ? ProcessState.Refused : ProcessState.Gone;
        NextAttempt = now + (State == ProcessState.Gone ? Repeat : EndpointProbe.Pause);
    }

    /// <summary>Records that a connection failed in any other way, or timed out.</summary>
    public void OnUnclear(TimeSpan now) => (_refusals, State, NextAttempt) = (0, ProcessState.Unknown, now + Retry);

    /// <summary>
    /// Selects those of the gone silos whose death to believe. A refusal by this machine's own kernel is always believed. Refusals over a
    /// network are not believed if most of the other silos seem gone at once. Then the fault is probably local, and one silo must not bury
    /// its cluster; Orleans' probes and votes decide instead.
    /// </summary>
    /// <param name="silos">All watched silos: whether each is local, and its state.</param>
    public static IEnumerable<T> Believed<T>(IReadOnlyCollection<(T Silo, bool IsLocal, ProcessState State)> silos)
    {
        var remote = silos.Count(silo => !silo.IsLocal);
        var gone = silos.Count(silo => !silo.IsLocal && silo.State is ProcessState.Gone or ProcessState.Refused);
        var believeRemote = remote == 1 || gone * 2 <= remote;
        return silos.Where(silo => silo.State == ProcessState.Gone && (silo.IsLocal || believeRemote)).Select(silo => silo.Silo);
    }
}
