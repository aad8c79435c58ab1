namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>A measured quantity: a column of the tables and a member of the JSON.</summary>
/// <param name="Name">The name in the JSON.</param>
/// <param name="Heading">The heading in the tables, with the unit.</param>
/// <param name="Format">The number format.</param>
internal sealed record Figure(string Name, string Heading, string Format = "N0")
{
    public static readonly Figure RecordsPerSecond = new("recordsPerSecond", "records/s");
    public static readonly Figure TransactionsPerSecond = new("transactionsPerSecond", "transactions/s");
    public static readonly Figure MegabytesPerSecond = new("megabytesPerSecond", "MB/s", "N1");
    public static readonly Figure Mean = new("meanMs", "mean ms", "N2");
    public static readonly Figure P50 = new("p50Ms", "p50 ms", "N2");
    public static readonly Figure P99 = new("p99Ms", "p99 ms", "N2");
    public static readonly Figure P999 = new("p999Ms", "p99.9 ms", "N2");
    public static readonly Figure CpuPerMillion = new("brokerCpuSecondsPerMillion", "broker CPU s/million", "N3");
    public static readonly Figure ClientCpuPerMillion = new("clientCpuSecondsPerMillion", "client CPU s/million", "N3");
    public static readonly Figure CpuPerTransaction = new("brokerCpuMsPerTransaction", "broker CPU ms/transaction", "N3");
    public static readonly Figure DiskReads = new("diskReadMegabytes", "read from disk MB");
    public static readonly Figure StartMs = new("startMs", "start ms");
    public static readonly Figure IdleMemory = new("idleMegabytes", "idle memory MB", "N1");
    public static readonly Figure PeakMemory = new("peakMegabytes", "peak memory MB", "N1");
    public static readonly Figure MemoryAfterwards = new("afterwardsMegabytes", "memory afterwards, shared pages once, MB", "N1");
    public static readonly Figure DiskMegabytes = new("diskMegabytes", "disk MB");
    public static readonly Figure JoinMs = new("joinMs", "all have joined after ms");
    public static readonly Figure KilobytesPerConnection = new("kilobytesPerConnection", "memory KB/connection", "N1");
    public static readonly Figure IdleCpuPercent = new("idleCpuPercent", "CPU % of a core, idle", "N2");

    /// <summary>All figures in column order, followed by peer-specific ones.</summary>
    public static IReadOnlyList<Figure> Known { get; } =
    [
        RecordsPerSecond, TransactionsPerSecond, MegabytesPerSecond, Mean, P50, P99, P999, CpuPerMillion, ClientCpuPerMillion,
        CpuPerTransaction, DiskReads, JoinMs, KilobytesPerConnection, IdleCpuPercent, StartMs, IdleMemory, PeakMemory, MemoryAfterwards,
        DiskMegabytes,
    ];
}

/// <summary>The figures of one step of a work, of one broker in one run.</summary>
/// <param name="Step">The step, such as "produce".</param>
/// <param name="Figures">The figures.</param>
internal sealed record Measurement(string Step, IReadOnlyDictionary<Figure, double> Figures);
