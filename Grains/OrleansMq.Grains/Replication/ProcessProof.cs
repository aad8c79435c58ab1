namespace OrleansMq.Grains.Replication;

/// <summary>What is known of another silo's process.</summary>
internal enum ProcessState
{
    /// <summary>Nothing that proves anything: never reached, or cut off. Orleans' probes decide.</summary>
    Unknown = 0,
    /// <summary>A connection stands.</summary>
    Connected = 1,
    /// <summary>It was reached before, and its port refuses by now.</summary>
    Refused = 2,
    /// <summary>It was reached before, and its port refused often enough: its process is gone.</summary>
    Gone = 3,
}

/// <summary>
/// Whether another silo's process is gone: a proof, not a suspicion. Only a kernel answers a connection with a refusal, at once and
/// whatever the load; a process that hangs, is stopped or gets no processor keeps its connection, and a cut network answers nothing. The
/// refusals are some, in a row, over a short time, for a proxy in between may restart; and before them it was reached, for an address that
/// never worked proves nothing.
/// </summary>
internal sealed class ProcessProof
{
    /// <summary>Between attempts to reach who was never reached, or is cut off.</summary>
    public static readonly TimeSpan Retry = TimeSpan.FromMilliseconds(250);

    /// <summary>Between attempts to reach who is gone: the database may have been down when that was to be told.</summary>
    public static readonly TimeSpan Repeat = TimeSpan.FromMilliseconds(500);

    private bool _reached;
    private int _refusals;

    /// <summary>What is known.</summary>
    public ProcessState State { get; private set; }

    /// <summary>When to connect next, in the caller's time; never while a connection stands.</summary>
    public TimeSpan NextAttempt { get; private set; } = TimeSpan.Zero;

    /// <summary>A connection was made.</summary>
    public void OnConnected() => (_reached, _refusals, State, NextAttempt) = (true, 0, ProcessState.Connected, TimeSpan.MaxValue);

    /// <summary>The connection ended, whoever ended it.</summary>
    public void OnClosed(TimeSpan now) => (State, NextAttempt) = (ProcessState.Unknown, now);

    /// <summary>A connection was refused.</summary>
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

    /// <summary>A connection failed in any other way, or nothing answered in time.</summary>
    public void OnUnclear(TimeSpan now) => (_refusals, State, NextAttempt) = (0, ProcessState.Unknown, now + Retry);

    /// <summary>
    /// Which of those that are gone are to be believed gone. What this machine's own kernel refuses is. Over a network, not where most of
    /// the others would be gone at once: rather something between is wrong, here, and one silo must not bury its cluster. Probes decide
    /// then, with the word of others.
    /// </summary>
    /// <param name="silos">All that are watched: whether each is local, and its state.</param>
    public static IEnumerable<T> Believed<T>(IReadOnlyCollection<(T Silo, bool IsLocal, ProcessState State)> silos)
    {
        var remote = silos.Count(silo => !silo.IsLocal);
        var gone = silos.Count(silo => !silo.IsLocal && silo.State is ProcessState.Gone or ProcessState.Refused);
        var believeRemote = remote == 1 || gone * 2 <= remote;
        return silos.Where(silo => silo.State == ProcessState.Gone && (silo.IsLocal || believeRemote)).Select(silo => silo.Silo);
    }
}
