namespace OrleansMq.Tests.Chaos.Faults;

/// <summary>What is broken.</summary>
internal enum FaultKind
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>SIGKILL to the silo that leads a partition.</summary>
    KillLeader,
    /// <summary>SIGKILL to two silos at once: what is left is fewer than <c>min.insync.replicas</c>.</summary>
    KillTwo,
    /// <summary>SIGKILL to every silo at once.</summary>
    KillAll,
    /// <summary>SIGKILL to the silo that leads a partition, and to its process again as soon as it is back.</summary>
    KillTwice,
    /// <summary>SIGTERM to the silo that leads a partition.</summary>
    StopLeader,
    /// <summary>SIGSTOP to the silo that leads a partition, and SIGCONT: a leader that believes in a past.</summary>
    PauseLeader,
    /// <summary>PostgreSQL is stopped, and started.</summary>
    StopDatabase,
    /// <summary>PostgreSQL crashes while it writes, and is started.</summary>
    CrashDatabase,
    /// <summary>SIGKILL to the silo that leads a partition while PostgreSQL is stopped: nobody can be elected before it is back.</summary>
    KillWithoutDatabase,
    /// <summary>The disk of one silo is full for a while.</summary>
    FillDisk,
    /// <summary>One silo is cut off from the others, not from its clients and the database.</summary>
    CutOff,
    /// <summary>Two silos do not reach each other; both reach the third.</summary>
    CutPair,
    /// <summary>All connections between silos are reset.</summary>
    ResetConnections,
    /// <summary>Everything between silos takes longer.</summary>
    Latency,
}

/// <summary>One fault of a run.</summary>
/// <param name="Kind">What.</param>
/// <param name="Before">How long everything is left alone before it.</param>
/// <param name="Lasts">For how long, where that is for us to say.</param>
/// <param name="Choice">Which partition or silo it hits, by whatever number there are.</param>
/// <param name="WaitsForRecovery">Whether the next one waits until all replicas are in sync again; otherwise it may hit a cluster that is
/// still getting well.</param>
internal readonly record struct PlannedFault(FaultKind Kind, TimeSpan Before, TimeSpan Lasts, int Choice, bool WaitsForRecovery)
{
    public override string ToString() => $"{Kind} for {Lasts.TotalSeconds:0.0} s{(WaitsForRecovery ? "" : ", and on")}";
}

/// <summary>Faults in the order a seed gives them.</summary>
internal static class FaultPlan
{
    /// <summary>As many faults as anybody asks for: the run ends when its time is over.</summary>
    /// <param name="seed">The same seed gives the same faults.</param>
    /// <param name="weights">How often each kind comes, compared with the others.</param>
    public static IEnumerable<PlannedFault> From(int seed, IReadOnlyDictionary<FaultKind, int> weights)
    {
        var random = new Random(seed);
        var kinds = weights.OrderBy(weight => weight.Key).ToList();
        var total = kinds.Sum(kind => kind.Value);
        while (true)
        {
            var drawn = random.Next(total);
            var kind = kinds.First(candidate => (drawn -= candidate.Value) < 0).Key;
            yield return new PlannedFault(kind, Seconds(random, 0.2, 3), Seconds(random, 0.3, 8), random.Next(1 << 20),
                random.Next(10) < 7);
        }
    }

    private static TimeSpan Seconds(Random random, double least, double most) =>
        TimeSpan.FromSeconds(least + (random.NextDouble() * (most - least)));
}
