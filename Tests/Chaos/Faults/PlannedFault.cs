namespace OrleansMq.Tests.Chaos.Faults;

/// <summary>The kinds of fault.</summary>
internal enum FaultKind
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>SIGKILL to the silo that leads a partition.</summary>
    KillLeader,
    /// <summary>SIGKILL to two silos at once, which leaves fewer than <c>min.insync.replicas</c>.</summary>
    KillTwo,
    /// <summary>SIGKILL to every silo at once.</summary>
    KillAll,
    /// <summary>SIGKILL to the silo that leads a partition, and again as soon as it has restarted.</summary>
    KillTwice,
    /// <summary>SIGTERM to the silo that leads a partition.</summary>
    StopLeader,
    /// <summary>SIGSTOP to the silo that leads a partition, then SIGCONT: the leader resumes with stale state.</summary>
    PauseLeader,
    /// <summary>PostgreSQL is stopped and restarted.</summary>
    StopDatabase,
    /// <summary>PostgreSQL crashes while it writes, and restarts.</summary>
    CrashDatabase,
    /// <summary>SIGKILL to the silo that leads a partition while PostgreSQL is stopped. No leader can be elected until the database is
    /// back.</summary>
    KillWithoutDatabase,
    /// <summary>The disk of one silo is full for a while.</summary>
    FillDisk,
    /// <summary>One silo is cut off from the others, but not from clients and the database.</summary>
    CutOff,
    /// <summary>Two silos cannot reach each other; both reach the third.</summary>
    CutPair,
    /// <summary>All connections between silos are reset.</summary>
    ResetConnections,
    /// <summary>All traffic between silos is delayed.</summary>
    Latency,
}

/// <summary>One fault of a run.</summary>
/// <param name="Kind">The fault.</param>
/// <param name="Before">The quiet time before it.</param>
/// <param name="Lasts">Its duration, for faults that have one.</param>
/// <param name="Choice">Selects the partition or silo, modulo their number.</param>
/// <param name="WaitsForRecovery">Whether the next fault waits until all replicas are in sync. Otherwise it may hit a cluster that is still
/// recovering.</param>
internal readonly record struct PlannedFault(FaultKind Kind, TimeSpan Before, TimeSpan Lasts, int Choice, bool WaitsForRecovery)
{
    public override string ToString() => $"{Kind} for {Lasts.TotalSeconds:0.0} s{(WaitsForRecovery ? "" : ", and on")}";
}

/// <summary>The sequence of faults of a seed.</summary>
internal static class FaultPlan
{
    /// <summary>An endless sequence of faults; the run ends by time.</summary>
    /// <param name="seed">The same seed gives the same faults.</param>
    /// <param name="weights">The relative frequency of each kind.</param>
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
