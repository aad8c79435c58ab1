namespace OrleansMq.Tests.Simulation;

/// <summary>What a seed makes of a run.</summary>
internal sealed class Scenario
{
    public Scenario(Random random)
    {
        Brokers = random.Next(10) switch { < 6 => 3, < 8 => 4, < 9 => 5, _ => 7 };
        MinInsync = random.Next(4) == 0 ? 1 : 2;
        Sync = random.Next(3) == 0;
        DropPercent = random.Next(3) == 0 ? 0 : random.Next(1, 8);
        DuplicatePercent = random.Next(0, 8);
        MaxDelayMs = random.Next(2, 15);
        FaultEveryMs = random.Next(100, 400);
        StoreFailsPercent = random.Next(0, 30);
        ProduceEveryMs = random.Next(4) == 0 ? 400 : 25;
    }

    public int Brokers { get; }
    public int MinInsync { get; }
    public bool Sync { get; }
    public int DropPercent { get; }
    public int DuplicatePercent { get; }
    public int MaxDelayMs { get; }
    public int FaultEveryMs { get; }
    public int StoreFailsPercent { get; }
    /// <summary>Few records leave epochs without any: what only the fence remembers.</summary>
    public int ProduceEveryMs { get; }

    public override string ToString() =>
        $"{Brokers} brokers, min.insync {MinInsync}, {(Sync ? "sync" : "none")}, drops {DropPercent}%, doubles {DuplicatePercent}%, "
        + $"delay up to {MaxDelayMs} ms, a fault every {FaultEveryMs} ms, store fails {StoreFailsPercent}%, a record every {ProduceEveryMs} ms";
}
